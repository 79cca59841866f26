"""The tests' bucket, which a store makes for a signed request."""

import datetime
import hashlib
import hmac
import urllib.error
import urllib.request

BUCKET = "overside"
REGION = "us-east-1"
ACCESS_KEY, SECRET_KEY = "test", "test"


def create_bucket(host, timeout, keys=(ACCESS_KEY, SECRET_KEY)):
    """Whether the store has answered that the bucket is there; `timeout` is in seconds."""
    access_key, secret_key = keys
    now = datetime.datetime.now(datetime.timezone.utc)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    payload = hashlib.sha256(b"").hexdigest()
    headers = {"host": host, "x-amz-content-sha256": payload, "x-amz-date": stamp}
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = f"PUT\n/{BUCKET}\n\n{lines}\n{names}\n{payload}"
    scope = f"{day}/{REGION}/s3/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{secret_key}".encode()
    for step in (day, REGION, "s3", "aws4_request", to_sign):
        key = hmac.digest(key, step.encode(), "sha256")
    authorization = f"AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    request = urllib.request.Request(
        f"http://{host}/{BUCKET}", method="PUT", headers={**headers, "Authorization": authorization}
    )
    # No proxy of the environment between us and loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as response:
            return response.status == 200
    except urllib.error.HTTPError as error:
        return error.code == 409
    except OSError:
        return False
