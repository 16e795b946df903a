"""Who may see the page."""

import pytest

from DRAMLesionLib.view.access import Access


def test_the_address_lets_in():
    access = Access("127.0.0.1")
    address = access.address(4711)
    assert address.startswith("http://localhost:4711/index.html?token=")
    assert access.refusal("localhost:4711", None, address.partition("token=")[2], None) is None


def test_the_cookie_lets_in_the_websocket_of_the_same_page():
    access = Access("127.0.0.1")
    assert access.refusal("127.0.0.1:4711", "http://127.0.0.1:4711", None, access.token) is None


@pytest.mark.parametrize(
    ("host", "origin", "token", "words"),
    [
        ("localhost:4711", None, None, "token"),
        ("localhost:4711", None, "guessed", "token"),
        ("localhost:4711", "http://elsewhere.example", "right", "another site"),
        ("localhost:4711", "http://localhost:9999", "right", "another site"),
        ("elsewhere.example:4711", None, "right", "not called"),
    ],
)
def test_others_are_refused(host, origin, token, words):
    access = Access("127.0.0.1")
    given = access.token if token == "right" else token
    assert words in access.refusal(host, origin, given, None)
    assert words in access.refusal(host, origin, None, given)


def test_two_servers_have_two_tokens():
    assert Access("127.0.0.1").token != Access("127.0.0.1").token


def test_a_server_for_others_is_called_by_any_name():
    access = Access("0.0.0.0")
    assert access.refusal("reading-room:80", None, access.token, None) is None
    assert access.refusal("reading-room:80", None, "", None) is not None


@pytest.mark.parametrize(
    ("host", "opened"), [("::1", "localhost"), ("fe80::1", "[fe80::1]"), ("reading-room", "reading-room")]
)
def test_the_address_can_be_opened(host, opened):
    assert Access(host).address(80).startswith(f"http://{opened}:80/")


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_server_for_all_is_called_by_this_machines_name(host, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "reading-room")
    assert Access(host).address(80).startswith("http://reading-room:80/")
