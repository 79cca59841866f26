// Uploads a file by tus-js-client. In the environment: FILE, ENDPOINT, CHUNK (bytes, or nothing for all at once), and of
// an upload that is to go on, the file of its URLs in URLS; DEFER where the length shall be told last. Prints what comes of it.
const fs = require('node:fs')
const { PassThrough } = require('node:stream')
const tus = require('tus-js-client')
const { FILE, ENDPOINT, CHUNK, URLS, AUTHORIZATION, DEFER } = process.env

// Of a file it would know the length (and tell a wrong one of its last chunk): a stream has none.
const file = fs.createReadStream(FILE)
const upload = new tus.Upload(DEFER ? file.pipe(new PassThrough()) : file, {
  endpoint: ENDPOINT,
  chunkSize: CHUNK ? Number(CHUNK) : Infinity,
  uploadSize: DEFER ? undefined : fs.statSync(FILE).size,
  uploadLengthDeferred: Boolean(DEFER),
  retryDelays: [0, 300, 1000, 3000],
  metadata: { filename: 'model one.bin', filetype: 'application/octet-stream' },
  headers: AUTHORIZATION ? { Authorization: AUTHORIZATION } : {},
  urlStorage: new tus.FileUrlStorage(URLS),
  onChunkComplete: (_, accepted) => process.stdout.write(`at ${accepted}\n`),
  onError: (error) => {
    process.stderr.write(`${error}\n`)
    process.exit(1)
  },
  onSuccess: ({ lastResponse }) => {
    process.stdout.write(`${lastResponse.getHeader('Docker-Content-Digest')}\n`)
  },
})
upload.findPreviousUploads().then((previous) => {
  if (previous.length) {
    process.stdout.write('goes on\n')
    upload.resumeFromPreviousUpload(previous[0])
  }
  upload.start()
})
