"""What requests are made of: every endpoint, and pieces that parsers have stumbled over."""

import json

DIGEST = "sha256:" + "a" * 64
UUID = "01890a5d-ac96-774b-bcce-b302099a8057"

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get"]
# What an administrator changes at run time; null is the default, which limits nothing.
SETTINGS = [
    "upload_concurrent", "download_concurrent", "request_rate", "open_sessions_per_user", "upload_lifetime",
    "url_lifetime", "redirect_uploads", "redirect_uploads_above", "audit_retention", "project_creation_restriction", "storage_per_project",
]  # fmt: skip
DEFAULTS = json.dumps(dict.fromkeys(SETTINGS)).encode()

USUAL_METHODS = ["GET", "GET", "HEAD", "POST", "POST", "PUT", "PUT", "PATCH", "DELETE"]

PATHS = [
    "/healthz",
    "/readyz",
    "/signed/{upload}",
    "/signed/{upload}/{part}?expires=99999999999&size=5&signature={x}",
    "/service/token",
    "/service/token?service=x&scope=repository:{name}:pull,push&scope={x}",
    "/v2/",
    "/v2",
    "/v2/_catalog",
    "/v2/{name}/blobs/uploads/",
    "/v2/{name}/blobs/uploads",
    "/v2/{name}/blobs/uploads/{uuid}",
    "/v2/{name}/blobs/{digest}",
    "/v2/{name}/manifests/{reference}",
    "/v2/{name}/tags/list",
    "/v2/{name}/referrers/{digest}",
    "/{name}/info/lfs/objects/batch",
    "/api/v2.0/configurations",
    "/api/v2.0/audit-logs",
    "/api/v2.0/projects",
    "/api/v2.0/projects/{name_or_id}",
    "/api/v2.0/projects/{name_or_id}/logs",
    "/api/v2.0/projects/{name_or_id}/members",
    "/api/v2.0/projects/{name_or_id}/members/{member}",
    "/api/v2.0/robots",
    "/api/v2.0/robots/{robot}",
    "/api/v2.0/quotas",
    "/api/v2.0/quotas/{quota}",
    "/api/v2.0/users",
    "/api/v2.0/users/{user}",
    "/api/v2.0/users/{user}/password",
    "/api/v2.0/users/{user}/sysadmin",
    "/api/v2.0/users/{user}/tokens",
    "/api/v2.0/users/{user}/tokens/{token}",
    "/{x}",
    "//",
    "*",
]

QUERIES = [
    "digest", "digest-algorithm", "mount", "from", "presigned", "size", "mode", "parts", "tag", "n", "last",
    "artifactType", "page", "page_size", "q", "sort", "name", "project_name", "scope", "service", "account",
    "expires", "signature", "length", "checksum", "",
]  # fmt: skip

HEADERS = [
    "accept", "range", "content-range", "content-type", "content-encoding", "if-match", "if-none-match", "prefer",
    "authorization", "x-request-id", "x-forwarded-for", "x-forwarded-proto", "forwarded", "origin", "cookie",
    "x-amz-checksum-sha256", "x-amz-content-sha256", "docker-upload-uuid", "te", "upgrade", "connection",
    "content-length", "transfer-encoding", "user-agent", "x-harbor-csrf-token", "if-range", "host",
]  # fmt: skip

RANGES = [
    "0-0", "1-0", "0-9", "-1", "5-", "0", "1", "-", "bytes=0-", "bytes=0-0,2-3", "bytes=-0", "bytes=5-2", "bytes=-99999999",
    "bytes=18446744073709551615-18446744073709551616", "bytes 0-9/10", "0-18446744073709551615", "1-10000", "1-10001",
    "9223372036854775807", "9223372036854775808", "1,2,3", "1-1,1-1", "bytes=0-9;q=1", "١-٣", "1e3", " 1", "+1",
]  # fmt: skip

CONTENT_TYPES = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/vnd.git-lfs+json",
    "application/json",
    "application/json; charset=utf-16",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=" + "b" * 100,
    "text/html",
    "",
    "a/" + "b" * 300,
]

NASTY = [
    "sha256:", "sha256:zz", "sha512:" + "a" * 64, "sha512:" + "b" * 128, "SHA256:" + "a" * 64, "md5:" + "a" * 32,
    DIGEST, UUID, UUID.upper(), "00000000-0000-0000-0000-000000000000", "../../etc/passwd", "..%2f..%2fetc", "%2e%2e/x",
    "%00", "a%00b", "%ff%fe", "%", "%zz", "%25%32%35", "a/b/c/d/e/f/g/h", "/", "//", "a//b", ".", "..", "", " ", "+",
    "a" * 129, "a" * 256, "a/" * 200 + "a", "x" * 6000, "é", "名前", "‮", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    "'", "\"", "';--", "$1", "%s%n", "{}", "${x}", "<script>", "_catalog", "uploads", "latest", "v1", "robot$fuzz+a", "1 OR 1=1",
    "0", "-1", "2", "99999999999999999999", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "1.5", "NaN",
    "1e400", "true", "null", "name=~a", "name=%,a=b", "name=~" + "a" * 60_000, "op_time=[1~2]", "a:b:c", "repository:a:*",
    "repository:" + "a" * 300 + ":pull", "registry:catalog:*",
]  # fmt: skip


def bodies(chance, digest):
    """Bodies of every size and sense: JSON of the API, nearly; and what is none."""
    word, number = chance.choice(NASTY), chance.choice([0, 1, -1, 2, 1 << 31, 1 << 63, 1 << 64, 1.5, 1e308])
    value = chance.choice([word, number, None, True, [], {}, [word], {"a": word}])
    objects = [
        {"parts": [{"part_number": number, "etag": word}] * chance.choice([0, 1, 3, 2000]), "sha256_midstates": value},
        {"sha256_midstates": [word] * chance.choice([1, 1, 100]), "parts": value},
        {"operation": "upload", "transfers": ["basic"], "objects": [{"oid": digest[7:], "size": number}]},
        {"project_name": value, "metadata": {"public": chance.choice(["true", "false", True, word])}, "storage_limit": number},
        {"role_id": number, "member_user": {"username": word, "user_id": number}},
        {"name": value, "level": "project", "duration": number, "permissions": value},
        {
            "name": "a",
            "level": "project",
            "duration": number,
            "permissions": [{"kind": "project", "namespace": word, "access": [{"resource": "repository", "action": word}]}],
        },
        {"hard": {"storage": number, "count": value}},
        {"username": word, "password": word, "email": word, "realname": word, "comment": word},
        {"new_password": word, "old_password": value},
        {"sysadmin_flag": value},
        {"name": word, "expires_at": number, "expires_in": value},
    ]
    made = chance.choice(objects)
    if chance.random() < 0.2:
        made = {key: value for key in made}
    text = json.dumps(made).encode("utf-8", "surrogatepass")
    return [
        text,
        text,
        text,
        text[: chance.randrange(len(text))],
        text.replace(b"{", b'{"a":1,"a":2,', 1),
        b"[" * chance.choice([10, 200, 20_000]),
        b'{"a":' * chance.choice([10, 5_000]) + b"1",
        b"\xef\xbb\xbf" + text,
        text.decode("utf-8", "replace").encode("utf-16"),
        b"\xff\xfe\x00" * 30,
        b"1e99999",
        b'"\\ud800"',
        bytes(chance.randrange(256) for _ in range(chance.choice([1, 100, 3000]))),
        bytes(chance.choice([1 << 16, 1 << 20])),
        b"service=x&grant_type=password&username=" + word.encode("utf-8", "surrogatepass") + b"&scope=%zz",
        b"",
    ]
