#!/usr/bin/env bash
# LocalStack runs this when it is ready: the bucket as Overside wants it. On AWS the same three calls do, with `aws`.
set -euo pipefail

bucket=overside
here=$(dirname "$0")

# It may be there already, where LocalStack keeps its state.
awslocal s3api head-bucket --bucket "$bucket" 2>/dev/null || awslocal s3api create-bucket --bucket "$bucket"
# Browsers upload straight to the bucket, and read the ETag of every part.
awslocal s3api put-bucket-cors --bucket "$bucket" --cors-configuration "file://$here/cors.json"
# Behind the cleaner, should it ever stand still. It counts from the first byte, so the longest upload must be shorter.
awslocal s3api put-bucket-lifecycle-configuration --bucket "$bucket" \
    --lifecycle-configuration "file://$here/lifecycle.json"
