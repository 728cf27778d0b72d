from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from nas.search.storage.database import Database, retry_creation


def test_what_another_worker_created_first_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    errors: list[Exception] = [
        IntegrityError("insert", {}, Exception("UNIQUE constraint failed")),
        OperationalError("create table", {}, Exception("table studies already exists")),
    ]

    def create() -> str:
        if errors:
            raise errors.pop()
        return "created"

    assert retry_creation(create) == "created"


def test_other_faults_of_a_database_are_not_tried_again() -> None:
    calls = []

    def fail() -> None:
        calls.append(1)
        raise OperationalError("select 1", {}, Exception("disk I/O error"))

    with pytest.raises(OperationalError):
        retry_creation(fail)
    assert len(calls) == 1


def test_urls_are_shown_without_their_password() -> None:
    assert str(Database("postgresql://user:secret@host/db")) == "postgresql://user:***@host/db"
