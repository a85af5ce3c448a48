"""Commands that need no running proxy, and the reference that is held against them."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from proxy.cli.main import main

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs" / "commands.md").read_text("utf-8")


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    for name in ("routes.yaml", "accounts.csv"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("flags", "segments"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def call(sample: Path, *arguments: str) -> Result:
    places = {"--routes": sample / "routes.yaml", "--flags": sample / "flags", "--state": sample / "state"}
    takes = {"check": ("--routes", "--flags"), "explain": tuple(places), "schema": ()}.get(arguments[0], ("--state",))
    given = [text for option in takes for text in (option, str(places[option]))]
    return CliRunner().invoke(main, [*arguments, *given])


def test_check_says_ok_and_counts(sample: Path) -> None:
    done = call(sample, "check")
    assert done.exit_code == 0
    assert re.search(
        r"ok: 6 areas, 8 routes, 4 segments, 4 flags\nmemory: clients can make each worker take \d+ MiB and \d\.\d MiB a connection; limits.connections bounds these: \d+ would fit into the \d+.* here$",
        done.output,
    )


def test_check_warns_of_limits_that_are_more_than_the_memory_here(sample: Path) -> None:
    routes = sample / "routes.yaml"
    written = routes.read_text()
    routes.write_text(f"{written}\nlimits: {{connections: 1000000}}\n")
    done = call(sample, "check")
    assert done.exit_code == 0
    assert re.search(
        r"^warning: memory: .* which is more than the .* here; of limits.connections ", done.output, re.MULTILINE
    )
    routes.write_text(f"{written}\nlimits: {{connections: 1}}\n")
    assert "warning" not in call(sample, "check").output


def test_check_names_the_flags_that_no_command_edits(sample: Path) -> None:
    orders = sample / "flags" / "orders.flagd.yaml"
    assert "orders" not in call(sample, "check").output
    orders.write_text(orders.read_text().replace("        - new\n", ""))
    done = call(sample, "check")
    assert "the share is asked only for pilots" in done.output
    assert re.search(r"written by hand: .*orders", done.output)


def test_check_tells_every_problem_at_once_and_fails(sample: Path) -> None:
    routes = sample / "routes.yaml"
    routes.write_text(routes.read_text().replace("owner: payments", "onwer: payments").replace("retired:", "retried:"))
    done = call(sample, "check")
    assert done.exit_code == 1
    assert 'did you mean "owner"?' in done.output
    assert 'did you mean "retired"?' in done.output
    assert "2 errors" in done.output
    as_data = json.loads(call(sample, "check", "--json").output)
    assert as_data["ok"] is False
    found = [one for one in as_data["complaints"] if one["severity"] == "error"]
    assert [one["code"] for one in found] == ["unknown-key", "unknown-key"]
    assert all(one["line"] for one in found)


def test_check_names_the_plan_for_scripts(sample: Path) -> None:
    answer = json.loads(call(sample, "check", "--json").output)
    assert re.fullmatch("[0-9a-f]{64}", answer["plan"])


def test_explain_of_files_says_that_it_is_of_the_files(sample: Path) -> None:
    done = call(sample, "explain", "GET", "/help/", "--files")
    assert done.exit_code == 0
    assert done.output.startswith("of the files (plan ")
    assert re.search(r"→ new: the route says so \(routes\.yaml:\d+:\d+\)", done.output)


def test_explain_falls_back_to_the_files_when_no_proxy_runs_and_says_so(sample: Path) -> None:
    done = call(sample, "explain", "GET", "/orders/7", "--account", "acme", "--json")
    assert done.exit_code == 0
    assert "no proxy runs on" in done.stderr
    one = json.loads(done.stdout)
    assert (one["source"], one["account"], one["area"]) == ("files", "acme", "orders")


def test_explain_of_many_accounts_agrees_with_explain_of_each(sample: Path) -> None:
    accounts = [f"acct-{number}" for number in range(20)]
    (sample / "accounts.txt").write_text("# asked for\n" + "\n".join(accounts) + "\n")
    done = call(sample, "explain", "GET", "/orders/7", "--accounts", str(sample / "accounts.txt"), "--json", "--files")
    many = {one["account"]: one["backend"] for one in json.loads(done.stdout)}
    assert list(many) == accounts
    assert set(many.values()) == {"new", "legacy"}
    for account in accounts[:3]:
        single = json.loads(
            call(sample, "explain", "GET", "/orders/7", "--account", account, "--json", "--files").stdout
        )
        assert single["backend"] == many[account]


def test_explain_of_many_accounts_is_a_line_each_and_a_sum(sample: Path) -> None:
    (sample / "accounts.txt").write_text("acme\nnorthwind\n")
    done = call(sample, "explain", "GET", "/orders/7", "--accounts", str(sample / "accounts.txt"), "--files")
    assert re.fullmatch(r"acme\tlegacy\tshare\tbucket \d+\nnorthwind\tnew\t.*\n", done.stdout)
    assert "1 of 2 accounts: new" in done.stderr
    (sample / "accounts.txt").write_text("northwind\n")
    done = call(sample, "explain", "GET", "/orders/7", "--accounts", str(sample / "accounts.txt"), "--files")
    assert "1 of 1 account: new" in done.stderr


def test_explain_of_many_accounts_takes_the_register(sample: Path) -> None:
    register = [line.partition(",")[0] for line in (sample / "accounts.csv").read_text().splitlines()[1:] if line]
    done = call(sample, "explain", "GET", "/orders/7", "--accounts", str(sample / "accounts.csv"), "--json", "--files")
    assert [one["account"] for one in json.loads(done.stdout)] == register
    assert "acme" in register


@pytest.mark.parametrize(
    ("content", "told"), [(b"\xffacme\n", "can't be read"), (b"x" * ((64 << 20) + 1), "is larger than 64 MiB")]
)
def test_accounts_that_cannot_be_read_are_a_usage_error(sample: Path, content: bytes, told: str) -> None:
    (sample / "accounts.txt").write_bytes(content)
    done = call(sample, "explain", "GET", "/orders/7", "--accounts", str(sample / "accounts.txt"), "--files")
    assert done.exit_code == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_the_id_column_of_a_csv_is_found_wherever_it_stands(sample: Path) -> None:
    (sample / "some.csv").write_text('\ufeffregion, id\nDE,"smith, sons"\n\nAT,acme\n')
    done = call(sample, "explain", "GET", "/orders/7", "--accounts", str(sample / "some.csv"), "--json", "--files")
    assert [one["account"] for one in json.loads(done.stdout)] == ["smith, sons", "acme"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("acme\nnorthwind,DE\n", "some.txt:2  .*one account a line, or .* one of them id"),
        ("name,region\nacme,DE\n", "some.txt:1  .*one of them id"),
        ("region,id\nDE\n", "some.txt:2  .*no id"),
    ],
)
def test_a_list_that_may_be_meant_otherwise_is_refused(sample: Path, text: str, told: str) -> None:
    (sample / "some.txt").write_text(text)
    done = call(sample, "explain", "GET", "/orders/7", "--accounts", str(sample / "some.txt"), "--files")
    assert done.exit_code == 2
    assert re.search(told, done.output)


def test_explain_tells_of_a_request_that_no_backend_sees(sample: Path) -> None:
    done = call(sample, "explain", "GET", "/orders%2F..%2Fsearch", "--files")
    assert done.exit_code == 0
    assert "→ refused with 400: " in done.output


def test_explain_answers_what_if(sample: Path) -> None:
    for percent, backend in (("0", "legacy"), ("100", "new")):
        asked = ("explain", "GET", "/orders/7", "--account", "nobody-special", "--percent", percent)
        one = json.loads(call(sample, *asked, "--files", "--json").stdout)
        assert (one["backend"], one["what_if"]["percent"]) == (backend, float(percent))
        real = json.loads(call(sample, *asked[:-2], "--files", "--json").stdout)
        assert (one["plan"], real["what_if"]) == (real["plan"], None)


def test_what_is_only_supposed_does_not_look_like_the_running_proxys_answer(sample: Path) -> None:
    asked = ("explain", "GET", "/orders/7", "--account", "nobody-special", "--percent", "99.5", "--files")
    done = call(sample, *asked)
    first = r"what if orders gave 99.5 % to new\? \(it gives 25 %; nothing is changed\) — the files, plan [0-9a-f]{12}"
    assert re.match(first, done.output)
    assert "→ what if: new: by its share" in done.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--percent", "500"), "0 to 100"),
        (("--header", "nonsense"), "has no ':'"),
        (("--account", "a", "--accounts", __file__), "exclude each other"),
    ],
)
def test_explain_refuses_what_it_can_not_ask(sample: Path, arguments: tuple[str, ...], told: str) -> None:
    done = call(sample, "explain", "GET", "/orders/7", "--files", *arguments)
    assert done.exit_code == 2
    assert told in done.output


def test_explain_of_broken_files_fails_with_the_complaints(sample: Path) -> None:
    (sample / "routes.yaml").write_text("version: 1\n")
    done = call(sample, "explain", "GET", "/", "--files")
    assert done.exit_code == 1
    assert "otherwise" in done.output


def test_status_without_a_proxy_fails_and_says_so(sample: Path) -> None:
    done = call(sample, "status")
    assert done.exit_code == 1
    assert "no proxy runs on" in done.output


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("reload",),
        ("journal",),
        ("drill", "list"),
        ("canary", "orders", "--percent", "1", "--reason", "x"),
        ("freeze", "orders", "--for", "2m", "--reason", "x"),
        ("release", "--reason", "x"),
        ("rollback", "--reason", "x"),
    ],
)
def test_in_the_wrong_directory_every_command_names_the_state_that_is_missing(
    sample: Path, command: tuple[str, ...]
) -> None:
    done = call(sample, *command)
    assert done.exit_code == 1
    assert f"{sample / 'state'}" in done.output
    assert "is --state, or STRANGLER_STATE, right?" in done.output


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("above", "told"), [(0o711, "belongs to root; nothing was done"), (0o700, "Permission denied")]
)
def test_somebody_else_is_told_to_be_the_user_who_runs_the_proxy(above: int, told: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        state = Path(directory, "state")
        state.mkdir(0o700)
        Path(directory).chmod(above)
        os.seteuid(65534)
        try:
            done = CliRunner().invoke(main, ["rollback", "--reason", "x", "--state", str(state)])
        finally:
            os.seteuid(0)
    assert done.exit_code == 1
    assert told in done.output
    assert "sudo -u USER" in done.output


def test_where_the_state_is_can_be_said_once_for_every_command(tmp_path: Path) -> None:
    ours = [(command, one) for command in main.commands.values() for one in command.params if one.name == "state"]
    assert {command.name for command, _ in ours} == set(main.commands) - {"check", "demo", "schema"}
    environment = {"STRANGLER_STATE": str(tmp_path / "elsewhere")}
    runner = CliRunner(env=environment)
    assert "elsewhere" in runner.invoke(main, ["status"]).output
    assert "elsewhere" not in runner.invoke(main, ["status", "--state", str(tmp_path / "here")]).output
    with runner.isolation(env=environment):
        for command, one in ours:
            assert one.handle_parse_result(click.Context(command), {}, [])[0] == tmp_path / "elsewhere", command.name


def test_the_image_says_where_its_state_is_to_every_command_in_it() -> None:
    image = (ROOT / "Dockerfile").read_text("utf-8")
    (volume,) = re.findall(r"^VOLUME (\S+)$", image, re.MULTILINE)
    assert re.search(rf"^ENV .*\bSTRANGLER_STATE={volume}$", image, re.MULTILINE)
    assert "--state" not in image


def test_schema_is_a_json_schema(sample: Path) -> None:
    schema = json.loads(call(sample, "schema").output)
    assert "areas" in schema["properties"]


def test_serve_refuses_an_address_before_anything_starts() -> None:
    done = CliRunner().invoke(main, ["serve", "--listen", "8080"])
    assert done.exit_code == 2
    assert "HOST:PORT" in done.output


# -- the reference ---------------------------------------------------------------------------------------------------


COMMANDS = sorted(main.commands.items())


def section(name: str) -> str:
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", REFERENCE, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/commands.md has no section {name}"
    return found[1]


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_the_reference_lists_every_option_of_every_command_and_no_other(name: str, command: click.Command) -> None:
    real = {option for one in command.params if isinstance(one, click.Option) for option in one.opts}
    rows = set(re.findall(r"^\| `(--[\w-]+)", section(name), re.MULTILINE))
    assert rows == real


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_the_reference_gives_the_real_defaults(name: str, command: click.Command) -> None:
    for one in command.params:
        if isinstance(one, click.Option) and one.show_default and not one.is_flag:
            assert re.search(rf"^\| `{one.opts[0]}\b.*`{re.escape(str(one.default))}`", section(name), re.MULTILINE), (
                one.opts
            )


def test_the_reference_has_no_section_for_a_command_that_does_not_exist() -> None:
    sections = set(re.findall(r"^## (\w+)$", REFERENCE, re.MULTILINE))
    assert sections == set(main.commands)


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_help_tells_exit_codes_and_fits_a_terminal(name: str, command: click.Command) -> None:
    text = CliRunner().invoke(main, [name, "--help"], terminal_width=100).output
    assert "Exit codes" in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_the_version_says_whether_the_traffic_path_is_compiled() -> None:
    told = CliRunner().invoke(main, ["--version"]).output
    assert told.startswith(f"strangler {version('strangler')} (traffic path ")
