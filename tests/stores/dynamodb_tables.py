"""What the tests of the DynamoDB store share: a place of their own in one table, and credentials that nobody checks."""

import contextlib
import itertools
import os

import boto3
import pytest
from botocore.config import Config

TABLE = "mneme-tests"
REGION = "eu-central-1"
_numbers = itertools.count()

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


def new_prefix():
    return f"p{os.getpid()}-{next(_numbers)}"


def client_of(address, **options):
    config = Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 1}, **options)
    return boto3.session.Session().client("dynamodb", region_name=REGION, endpoint_url=address, config=config)


@pytest.fixture
def credentials(monkeypatch):
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def tables(server_of, credentials):
    """A client, and no tables before and after: moto copies all there is for every transaction."""
    with contextlib.closing(client_of(server_of("dynamodb"))) as client:
        yield client
        for name in client.list_tables()["TableNames"]:
            client.delete_table(TableName=name)


@pytest.fixture
def place(server_of, tables):
    """Options for stores that all mean the same place."""
    return {
        "table": TABLE,
        "prefix": new_prefix(),
        "region_name": REGION,
        "endpoint_url": server_of("dynamodb"),
        "create_table": True,
        "timeout": 60,
        "retry_seconds": 60,
    }
