"""Who may see the page, what the browser may do with it, and which forms are taken."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

import nucleus_pandas as npd
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.web import sessions
from nucleus_pandas.server.web.sessions import Sessions
from tests.support.html_tree import parse
from tests.support.private import session_of
from tests.support.sample_page import HOST, Visitor

KEY, OTHER = "a-key-0123456789", "another-key"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src {}; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'; require-trusted-types-for 'script'"
)


@pytest.fixture
def nucleus(store: Path, image: Path) -> Iterator[EmbeddedNucleus]:
    """A store with a dataset of one uploaded image."""
    with npd.NucleusClient.local(store) as client:
        client.create_dataset("Street scenes").append([{"reference_id": "a", "image_url": str(image)}])
    made = EmbeddedNucleus(store)
    yield made
    made.close()


@pytest.fixture
def visitor(nucleus: EmbeddedNucleus) -> Visitor:
    return Visitor(nucleus)


@pytest.fixture
def stranger(nucleus: EmbeddedNucleus) -> Visitor:
    """Somebody at a server that has keys."""
    return Visitor(nucleus, api_keys=[KEY, OTHER])


def dataset_of(nucleus: EmbeddedNucleus) -> str:
    with nucleus.database.read() as db:
        return f"/datasets/ds_{db.execute('SELECT tag FROM dataset').fetchone()[0]}"


def cookie_of(response: TestResponse) -> dict[str, str]:
    """Return the attributes of the cookie that an answer sets."""
    parts = [part.strip().partition("=") for part in response.headers["Set-Cookie"].split(";")]
    return {name.lower() if at else "name": value or name for at, (name, _, value) in enumerate(parts)} | {
        "cookie": parts[0][0]
    }


# What the browser may do


@pytest.mark.parametrize("path", ["/", "/login", "/nowhere", "/datasets/ds_nothing", "/compare"])
def test_every_page_has_the_headers_that_keep_it_to_itself(stranger: Visitor, visitor: Visitor, path: str) -> None:
    for somebody in (visitor, stranger):
        headers = somebody.ask(path, headers={"Accept": "text/html"}).headers
        assert headers["Content-Security-Policy"] == POLICY.format("'self'")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_images_from_elsewhere_are_let_in_only_where_the_server_says_so(nucleus: EmbeddedNucleus) -> None:
    headers = Visitor(nucleus, remote_images=True).ask("/").headers
    assert headers["Content-Security-Policy"] == POLICY.format("'self' http: https:")


def test_no_page_holds_code_or_styles_in_its_markup(visitor: Visitor, nucleus: EmbeddedNucleus) -> None:
    for path in ("/", dataset_of(nucleus), "/login"):
        response = visitor.http.get(path, base_url=HOST, follow_redirects=True)
        page = parse(response.text)
        assert all("src" in script.attributes and not script.text for script in page.all("script"))
        assert not page.all("style")
        for node in page.all():
            assert not [name for name in node.attributes if name.startswith("on") or name == "style"]


def test_a_image_is_sandboxed_and_never_a_page(visitor: Visitor, nucleus: EmbeddedNucleus, tmp_path: Path) -> None:
    with npd.NucleusClient.local(nucleus.folder) as client:
        dataset = client.create_dataset("Odd")
        paths = []
        for suffix in ("svg", "html"):
            path = tmp_path / f"odd.{suffix}"
            path.write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
            dataset.append([{"reference_id": suffix, "image_url": str(path)}], image_check=False)
            paths.append(dataset.iloc[-1]["image_url"])
    for path, kind in zip(paths, ("image/svg+xml", "application/octet-stream"), strict=True):
        response = visitor.ask("/images/" + "/".join(Path(path).parts[-2:]))
        assert response.content_type.split(";")[0] == kind
        assert response.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


# Hosts and origins


@pytest.mark.parametrize("host", ["evil.example.org", "127.0.0.1.evil.example.org", "[::2]", "a b"])
def test_a_foreign_host_is_refused(visitor: Visitor, host: str) -> None:
    response = visitor.ask("/", headers={"Host": host, "Accept": "text/html"})
    assert response.status_code == 400
    assert "is not an address of this server" in response.text
    assert "Street scenes" not in response.text


@pytest.mark.parametrize(
    "origin", ["http://evil.example.org", "null", "http://127.0.0.1:1", "http://127.0.0.1.evil.org"]
)
def test_a_foreign_origin_is_refused(visitor: Visitor, nucleus: EmbeddedNucleus, origin: str) -> None:
    path = dataset_of(nucleus)
    token = visitor.token(path)
    headers = {"Origin": origin, "Accept": "text/html"}
    assert visitor.ask("/", headers=headers).status_code == 403
    data = {"token": token, "name": "S", "what": "all"}
    refused = visitor.ask(f"{path}/slices", "POST", headers=headers, data=data)
    assert refused.status_code == 403
    assert "pages of other sites are rejected" in refused.text


@pytest.mark.parametrize("host", ["127.0.0.1:x", "127.0.0.1:", "localhost:99999", "[::1]:80", "[::1]"])
def test_an_odd_port_does_no_harm(visitor: Visitor, host: str) -> None:
    response = visitor.ask("/", headers={"Host": host, "Accept": "text/html"})
    assert response.status_code in (200, 400)
    assert "went wrong" not in response.text


def test_our_own_origin_is_let_in(visitor: Visitor) -> None:
    assert visitor.ask("/", headers={"Origin": HOST}).status_code == 200


# Forms


def make(visitor: Visitor, path: str, **fields: str) -> TestResponse:
    answer: TestResponse = visitor.ask(f"{path}/slices", "POST", data={"name": "S", "what": "all", **fields})
    return answer


def test_a_form_needs_the_token_of_its_session(visitor: Visitor, nucleus: EmbeddedNucleus) -> None:
    path = dataset_of(nucleus)
    another = Visitor(nucleus)
    token, foreign = visitor.token(path), another.token(path)
    for wrong in ("", "x", token[:-1], token.upper(), foreign, "é"):
        refused = make(visitor, path, token=wrong)
        assert refused.status_code == 403
        assert "This form has expired" in refused.text
    assert make(visitor, path, token=token).status_code == 303
    with npd.NucleusClient.local(nucleus.folder) as client:
        assert [one.name for one in client.get_dataset(path.split("/")[-1]).slices] == ["S"]


def test_a_token_without_its_cookie_is_worth_nothing(visitor: Visitor, nucleus: EmbeddedNucleus) -> None:
    path = dataset_of(nucleus)
    token = visitor.token(path)
    assert make(Visitor(nucleus), path, token=token).status_code == 403


def test_a_form_that_is_too_large_is_refused(visitor: Visitor, nucleus: EmbeddedNucleus) -> None:
    path = dataset_of(nucleus)
    refused = make(visitor, path, token=visitor.token(path), item="x" * (1 << 20))
    assert refused.status_code == 413
    assert "1 MiB" in refused.text


def test_every_form_that_changes_something_carries_a_token(visitor: Visitor, nucleus: EmbeddedNucleus) -> None:
    for path in ("/", dataset_of(nucleus)):
        for form in visitor.get(path).all("form", method="post"):
            assert len(form.all("input", name="token")) == 1


# Keys


def test_where_there_are_no_keys_nobody_logs_in(visitor: Visitor) -> None:
    response = visitor.ask("/login?next=/compare")
    assert (response.status_code, response.headers["Location"]) == (303, "/compare")


@pytest.mark.parametrize("path", ["/", "/compare?run=a&run=b", "/runs/a%2Fb%20c", "/thumbnails/aa/x", "/images/aa/x"])
def test_a_server_with_keys_asks_for_one(stranger: Visitor, path: str) -> None:
    response = stranger.ask(path)
    assert response.status_code == 303
    assert response.headers["Location"].startswith("/login?next=/")
    form = stranger.get(response.headers["Location"]).one("form", method="post")
    assert form.one("input", name="next")["value"] == path
    assert "Street scenes" not in response.text


def test_what_a_stranger_sends_is_refused(stranger: Visitor, nucleus: EmbeddedNucleus) -> None:
    assert make(stranger, dataset_of(nucleus), token=stranger.token()).status_code == 401


@pytest.mark.parametrize("key", [KEY, OTHER])
def test_a_right_key_lets_in_and_is_in_no_cookie_and_no_address(nucleus: EmbeddedNucleus, key: str) -> None:
    stranger = Visitor(nucleus, api_keys=[KEY, OTHER])
    response = stranger.post("/login", token=stranger.token(), key=key, next="/compare")
    assert response.headers["Location"] == "/compare"
    cookie = cookie_of(response)
    assert cookie["cookie"] == "nucleus_pandas_0"
    assert cookie["httponly"] == "HttpOnly"
    assert cookie["samesite"] == "Lax"
    assert cookie["path"] == "/"
    for name in (KEY, OTHER):
        assert name not in str(response.headers)
    page = stranger.get("/")
    assert "Street scenes" in page.text
    assert key not in page.text
    assert stranger.ask("/").headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("key", ["", "wrong", KEY + "x", KEY[:-1], "é"])
def test_a_wrong_key_does_not(stranger: Visitor, key: str) -> None:
    response = stranger.post("/login", 403, token=stranger.token(), key=key, next="/")
    assert "not a valid API key" in response.text
    assert stranger.ask("/").status_code == 303


def test_logging_in_begins_a_new_session_and_logging_out_ends_it(stranger: Visitor) -> None:
    token = stranger.token()
    stranger.post("/login", token=token, key=KEY)
    page = stranger.get("/")
    form = page.one("form", action="/logout")
    inside = form.one("input", name="token")["value"]
    assert inside != token
    stranger.post("/logout", 403, token=token)
    stranger.post("/logout", token=inside)
    assert stranger.ask("/").status_code == 303


@pytest.mark.parametrize(
    "target", ["https://evil.example.org/", "//evil.example.org", "/\\evil.example.org", "javascript:alert(1)", "/a\nb"]
)
def test_after_logging_in_nobody_is_sent_elsewhere(stranger: Visitor, target: str) -> None:
    response = stranger.post("/login", token=stranger.token(), key=KEY, next=target)
    assert response.headers["Location"] == "/"


def test_the_cookie_opens_the_page_alone(stranger: Visitor) -> None:
    stranger.post("/login", token=stranger.token(), key=KEY)
    assert stranger.ask("/").status_code == 200
    assert stranger.ask("/v1/nucleus/dataset/").status_code == 401


def test_the_api_key_as_such_does_not_open_the_page(stranger: Visitor) -> None:
    assert stranger.ask("/", auth=(KEY, "")).status_code == 303


def test_other_keys_end_every_session(nucleus: EmbeddedNucleus) -> None:
    first, second = Sessions(nucleus.folder, [b"one"]), Sessions(nucleus.folder, [b"one", b"two"])
    session = first.new(is_known=True)
    assert first.read(first.write(session)) == session
    assert second.read(first.write(session)) is None
    assert Sessions(nucleus.folder, [b"one"]).read(first.write(session)) == session  # after a new start too


def test_a_cookie_is_good_for_a_time(nucleus: EmbeddedNucleus, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Sessions(nucleus.folder, [])
    cookie = made.write(made.new(is_known=True))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + sessions.SECONDS - 5)
    assert made.read(cookie) is not None
    monkeypatch.setattr(time, "time", lambda: now + sessions.SECONDS + 5)
    assert made.read(cookie) is None


def test_a_cookie_cannot_be_made_up(nucleus: EmbeddedNucleus) -> None:
    made = Sessions(nucleus.folder, [])
    visitor = made.new(is_known=False)
    cookie = made.write(visitor)
    assert made.read(cookie) == visitor
    payload, stamp, signature = cookie.split(".")
    known = made.write(made.new(is_known=True)).split(".")[0]
    forged = ["", ".", "..", cookie[:-2], f"{cookie}0", "é.é.é", f"{known}.{stamp}.{signature}"]
    forged.append(f"{payload}.z{stamp[1:]}.{signature}")
    forged.append(f"{payload}.{stamp}.{made.token(visitor)}")  # a token is not a signature
    assert [made.read(one) for one in forged] == [None] * len(forged)


def test_the_secret_is_the_owners_and_mended_when_broken(nucleus: EmbeddedNucleus) -> None:
    secret = nucleus.folder / "page.secret"
    Sessions(nucleus.folder, [])
    assert secret.stat().st_mode & 0o777 == 0o600
    assert not list(nucleus.folder.glob("page.secret.*"))
    secret.write_bytes(b"half")
    made = Sessions(nucleus.folder, [])
    assert len(secret.read_bytes()) == 32
    assert made.read(made.write(made.new(is_known=True))) is not None


def test_a_cookie_travels_over_tls_alone_where_there_is_tls(nucleus: EmbeddedNucleus) -> None:
    secured = Visitor(nucleus, public_url="https://nucleus.example.org", hosts=["127.0.0.1", "nucleus.example.org"])
    assert cookie_of(secured.ask("/"))["secure"] == "Secure"
    assert "secure" not in cookie_of(Visitor(nucleus).ask("/"))


# In process


def test_in_process_there_is_no_page(local: npd.NucleusClient) -> None:
    session = session_of(local)
    answer = session.get("http://nucleus.local/")
    assert answer.status_code == 404
    assert answer.json()["error"].startswith("There is no route GET /")


def test_who_asks_for_no_page_gets_json(visitor: Visitor) -> None:
    answer = visitor.ask("/nowhere")
    assert re.match("There is no route GET /nowhere", answer.json["error"])
    assert visitor.ask("/v1/nucleus/nowhere", headers={"Accept": "text/html"}).json["status_code"] == 404
    assert "There is no such page" in visitor.ask("/nowhere", headers={"Accept": "text/html"}).text
