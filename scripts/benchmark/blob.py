"""Files to push: random bytes, other ones in every measurement, so that no deduplication helps anybody."""

import hashlib
import os

# Enough to make a digest new.
FRESH = 64
PIECE = 8 << 20


class Blob:
    def __init__(self, path, size):
        self.path, self.size = path, size
        with open(path, "wb") as file:
            for offset in range(0, size, PIECE):
                file.write(os.urandom(min(PIECE, size - offset)))
        self.renew()

    def renew(self):
        """New bytes and their digest. A registry's client knows the digest before it begins: no clock runs."""
        with open(self.path, "r+b") as file:
            file.write(os.urandom(min(FRESH, self.size)))
        with open(self.path, "rb") as file:
            self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        self.digest = f"sha256:{self.sha256}"

    def cut(self, parts):
        """Files of the parts, since curl sends whole files: [(offset, size)] to their paths."""
        paths = []
        with open(self.path, "rb") as file:
            for number, (offset, size) in enumerate(parts, 1):
                path = self.path.with_suffix(f".{number}")
                file.seek(offset)
                with open(path, "wb") as part:
                    while size:
                        size -= part.write(file.read(min(PIECE, size)))
                paths.append(path)
        return paths
