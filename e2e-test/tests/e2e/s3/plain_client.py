# A client that is not ours. Arguments: the endpoint, the bucket, and what the script after this wants.
import hashlib, io, json, sys, zipfile

import boto3

options = dict(
    endpoint_url=sys.argv[1],
    region_name="us-east-1",
    aws_access_key_id="test",
    aws_secret_access_key="test",
)
s3 = boto3.client("s3", **options)
sqs = boto3.client("sqs", **options)
bucket, arguments = sys.argv[2], sys.argv[3:]


def queue():
    return sqs.get_queue_url(QueueName=f"{bucket}-s3-bucket-notifications")["QueueUrl"]


def notify(key, etag="abc", event="ObjectCreated:Put"):
    """Sends what S3 sends for a new object."""
    about = {"bucket": {"name": bucket}, "object": {"key": key, "eTag": etag}}
    record = {"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": event, "s3": about}
    sqs.send_message(QueueUrl=queue(), MessageBody=json.dumps({"Records": [record]}))


def artifact(service, artifact_id, branch, end):
    """A zip as another implementation makes it."""
    spec = {
        "id": artifact_id,
        "service": service,
        "application": {"branch": branch, "authorName": "Ada", "authorEmail": "ada@example.com"},
        "ci": {"start": "2026-01-01T00:00:00Z", "end": end},
        "shuttle": {"plan": {}},
    }
    zip = io.BytesIO()
    with zipfile.ZipFile(zip, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("artifact.json", json.dumps(spec, indent=2) + "\n")
        archive.writestr("dev/deployment.yaml", f"image: {artifact_id}\n")
    return zip.getvalue()


def put(service, artifact_id, branch="master", end="2026-01-01T00:10:00Z"):
    zip = artifact(service, artifact_id, branch, end)
    s3.put_object(Bucket=bucket, Key=f"{service}/{artifact_id}", Body=zip, ContentType="application/zip")


def show(value):
    print(json.dumps(value))


