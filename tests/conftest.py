"""What all tests share: the databases, the rules on skipping, how hard properties are tried."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from fieldlab.execution.local import processors
from tests.databases import Databases, PostgresDatabases, SqliteDatabases
from tests.postgres import PostgresServer
from tests.sshd import Sshd, require_programs

#: set to 1, a test that can't run counts as failed
REQUIRE_ALL = "FIELDLAB_TEST_REQUIRE_ALL"

hypothesis.settings.register_profile("local", deadline=None, max_examples=40)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=80, derandomize=True)


def pytest_configure(config: pytest.Config) -> None:
    """Forget the lab of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("FIELDLAB_")]:
        if name != REQUIRE_ALL:
            del os.environ[name]
    # an option of pytest's command line (--hypothesis-profile) comes before this
    if not config.getoption("--hypothesis-profile", default=None):
        in_ci = os.environ.get("CI") or os.environ.get(REQUIRE_ALL)
        hypothesis.settings.load_profile("ci" if in_ci else "local")


def _skip_fails(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get(REQUIRE_ALL) != "1" or not report.skipped or hasattr(report, "wasxfail"):
        return
    why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"{REQUIRE_ALL}=1 allows no skip. {why}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Run two tests for each processor: most of them wait for other processes most of the time."""
    return 2 * processors()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failed one where everything must run."""
    report = yield
    _skip_fails(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn a skipped file into a failed one where everything must run."""
    report = yield
    _skip_fails(report)
    return report


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder that belongs to no lab."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Share a server among the tests of this process. Tests that cut it use `postgres_server`."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres_server() -> Iterator[PostgresServer]:
    """Have a durable server of one's own, to stop, kill and start again."""
    server = PostgresServer(durable=True)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def shared_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Share a server among tests that leave it as it is."""
    require_programs()
    server = Sshd(tmp_path_factory.mktemp("sshd") / "server")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> Databases:
    """Make SQLite databases."""
    return SqliteDatabases(tmp_path_factory.mktemp("databases"))


@pytest.fixture(scope="session")
def postgresql_databases(postgres: PostgresServer) -> Databases:
    """Make databases on the shared PostgreSQL server."""
    return PostgresDatabases(postgres)


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest) -> Databases:
    """Make databases of either kind, for tests that need several."""
    made: Databases = request.getfixturevalue(f"{request.param}_databases")
    return made


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """Have a database with all tables and no content, once of either kind."""
    url = databases.migrated()
    yield url
    databases.discard(url)


@pytest.fixture
def empty_database_url(databases: Databases) -> Iterator[str]:
    """Have a database without any table, once of either kind."""
    url = databases.empty()
    yield url
    databases.discard(url)
