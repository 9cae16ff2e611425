"""Messages to people arrive, or it is said why not, and nothing secret with it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fieldlab.domain.errors import MissingExtra, NotSent
from fieldlab.outlets.notify import AppriseNotifier, CommandNotifier
from fieldlab.ports.notifier import Notice, Notifier, Urgency
from tests.outlets.receivers import HttpReceiver, SmtpSink, free_port, teller, text_of
from tests.waiting import until, wait_until

NOTICE = Notice(title="waves.1 tripped", body="10 failed\nin a row ö", urgency=Urgency.FAILURE)


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    with HttpReceiver() as receiver:
        yield receiver


def send(notifier: Notifier, notice: Notice = NOTICE) -> None:
    asyncio.run(notifier.send(notice))


def refusal(notifier: Notifier) -> str:
    with pytest.raises(NotSent) as caught:
        send(notifier)
    assert caught.value.transient
    return str(caught.value)


def test_a_mail_arrives_whole() -> None:
    with SmtpSink() as sink:
        send(AppriseNotifier(sink.url))
    (mail,) = sink.received
    assert mail["Subject"] == NOTICE.title
    assert "ada@example.org" in mail["To"]
    assert text_of(mail).strip() == NOTICE.body


def test_a_webhook_arrives_whole(http: HttpReceiver) -> None:
    send(AppriseNotifier(http.url))
    (got,) = http.received
    assert (got["title"], got["message"], got["type"]) == (NOTICE.title, NOTICE.body, "failure")


def test_who_is_down_is_an_error_that_says_why(
    http: HttpReceiver, capfd: pytest.CaptureFixture[str]
) -> None:
    notifier = AppriseNotifier(http.url)
    http.code = 503
    assert "503" in refusal(notifier)
    http.down()
    assert refusal(notifier).startswith(f"json://localhost:{http.port} didn't take it")
    assert capfd.readouterr() == ("", ""), "apprise's own log isn't for the terminal"


def test_who_never_answers_is_given_up(http: HttpReceiver) -> None:
    http.answers.clear()
    assert "took longer than 0.2 s" in refusal(AppriseNotifier(http.url, limit_s=0.2))


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (
            "json://ada:s3cretword@localhost:{}/hook/TOKENTOKEN?+X-Key=keykeykey",
            "json://localhost:{}",
        ),
        ("mailto://ada:s3cretword@localhost:{}?from=a@example.org", "mailto://localhost:{}"),
    ],
)
def test_nothing_secret_is_shown(address: str, shown: str) -> None:
    port = free_port()
    notifier = AppriseNotifier(address.format(port))
    assert notifier.name == address.partition(":")[0]
    assert notifier.check() == notifier.name == shown.format(port)
    said = refusal(notifier)
    assert not [word for word in ("s3cret", "TOKEN", "keykey") if word.lower() in said.lower()]


def test_the_token_in_the_place_of_a_host_is_hidden() -> None:
    token = "T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    shown = AppriseNotifier(f"slack://{token}/#general").check()
    assert not [word for word in token.split("/") if word in shown]
    assert shown.startswith("slack://")


@pytest.mark.parametrize("address", ["nonsense://secretword", "mailto://secretword"])
def test_an_address_that_can_not_be_used_is_not_shown_either(address: str) -> None:
    said = refusal(AppriseNotifier(address))
    assert "not one that can be used" in said
    assert "secretword" not in said


def test_without_apprise_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(MissingExtra, match=r"\[notify\]"):
        send(AppriseNotifier("json://localhost"))


def test_a_program_is_told(tmp_path: Path) -> None:
    argv = teller(tmp_path, 'cat > body; printf "%s|%s|%s" "$1" "$FIELDLAB_TITLE" '
                  '"$FIELDLAB_URGENCY" > told; printf "%s" "$FIELDLAB_BODY" > again')  # fmt: skip
    send(CommandNotifier([*argv, "$(touch hacked); *"], str(tmp_path)))
    assert (tmp_path / "told").read_text() == f"$(touch hacked); *|{NOTICE.title}|failure"
    assert (tmp_path / "body").read_text() == f"{NOTICE.body}\n"
    assert (tmp_path / "again").read_text() == NOTICE.body
    assert not (tmp_path / "hacked").exists()


def test_a_long_message_is_whole_on_the_program_s_input(tmp_path: Path) -> None:
    body = "x" * 500_000
    send(
        CommandNotifier(teller(tmp_path, "wc -c > size"), str(tmp_path)),
        Notice(title="", body=body),
    )
    assert int((tmp_path / "size").read_text()) == len(body) + 1


def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    notifier = CommandNotifier(teller(tmp_path, "echo no such channel >&2; exit 3"), str(tmp_path))
    assert refusal(notifier) == "./tell.sh ended with exit code 3. no such channel"


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "./gone.sh" in refusal(CommandNotifier(["./gone.sh"], str(tmp_path)))


def test_a_program_that_hangs_is_ended_with_all_it_has_started(tmp_path: Path) -> None:
    argv = teller(tmp_path, "sleep 1000 & echo $! > child; wait")
    notifier = CommandNotifier(argv, str(tmp_path), limit_s=0.5)
    assert refusal(notifier) == "./tell.sh took longer than 0.5 s"
    child = int((tmp_path / "child").read_text())
    wait_until(
        lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie",
        "what it had started has ended",
    )


def test_who_takes_only_html_gets_lines_and_no_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    import apprise
    from apprise.plugins.telegram import NotifyTelegram

    sent: list[dict[str, object]] = []

    def keep(self: object, **given: object) -> bool:
        sent.append(given)
        return True

    monkeypatch.setattr(NotifyTelegram, "notify", keep)
    url = "tgram://123456789:abcdefg_hijklmnopqrstuvwxyz0123456789/12345"
    send(AppriseNotifier(url), Notice(title="t", body="a < b\n& c"))
    (got,) = sent
    assert got["body"] == "a &lt; b<br/>&amp; c"
    assert got["body_format"] == apprise.NotifyFormat.HTML


def test_a_program_is_ended_when_nobody_waits_for_it_any_more(tmp_path: Path) -> None:
    argv = teller(tmp_path, "echo $$ > pid; exec sleep 1000")
    pid = tmp_path / "pid"

    async def scene() -> None:
        sending = asyncio.create_task(CommandNotifier(argv, str(tmp_path)).send(NOTICE))
        await until(lambda: pid.exists() and pid.read_text().strip(), "it runs")
        sending.cancel()
        await asyncio.wait([sending])
        assert sending.cancelled()

    asyncio.run(scene())
    wait_until(lambda: not psutil.pid_exists(int(pid.read_text())), "it has ended")
