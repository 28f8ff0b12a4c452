"""What holds for every page: who may ask, what is sent with it, and what comes of nonsense."""

import pytest
from starlette.testclient import TestClient

import showcase
from showcase import registry

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>"
PATHS = [page.path for page in registry.find()]


@pytest.mark.parametrize("path", PATHS)
def test_every_page_of_the_navigation_opens_and_links_to_all_others(site, path):
    page = site.get(path)
    assert page.status_code == 200
    assert all(f'href="{other}"' in page.text for other in PATHS)
    assert page.text.count('aria-current="page"') >= 1
    assert page.text.count("<h1") == 1


@pytest.mark.parametrize("path", PATHS)
def test_every_page_forbids_scripts_that_are_not_its_own_and_has_none_inline(site, path):
    page = site.get(path)
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cache-control"] == "no-store"
    assert " style=" not in page.text
    assert "<script>" not in page.text


def test_orders_and_titles_of_pages_differ():
    pages = registry.find()
    assert len({page.order for page in pages}) == len({page.title for page in pages}) == len(pages)


def test_another_name_of_this_machine_is_refused(site):
    assert site.get("/", headers={"host": "evil.example"}).status_code == 400


def test_a_form_of_a_stranger_changes_nothing(site, model):
    refused = site.post("/dashboard/ask", data={"question": "Hello?"}, headers={"origin": "http://evil.example"})
    assert refused.status_code == 403
    assert model.questions == []


def test_a_page_that_is_not_there_says_so_with_the_way_back(site):
    page = site.get("/nowhere")
    assert page.status_code == 404
    assert "There is no such page." in page.text
    assert 'href="/"' in page.text


def test_a_form_that_is_too_large_is_not_read(site):
    refused = site.post("/dashboard/ask", data={"question": "x" * 300_000})
    assert refused.status_code == 413
    assert "at most" in refused.text or "too much" in refused.text


def test_a_form_that_is_no_text_is_refused(site):
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert site.post("/dashboard/ask", content=b"question=%ff%fe", headers=kind).status_code == 400
    assert site.post("/dashboard/ask", content=b"\xff\xfe", headers=kind).status_code == 400


def test_every_browser_gets_a_name_of_its_own_once(site):
    first = site.get("/").headers["set-cookie"]
    assert "HttpOnly" in first
    assert "SameSite=Strict" in first
    assert "set-cookie" not in site.get("/").headers
    site.cookies.clear()
    site.cookies.set("mneme_showcase", "../../etc/passwd", domain="127.0.0.1")
    assert "set-cookie" in site.get("/").headers


def test_the_file_is_gone_when_the_showcase_has_ended(model, local):
    made = showcase.app(showcase.Settings(embedder=local, answers=model))
    with TestClient(made, base_url="http://127.0.0.1"):
        file = made.state.showcase.file
        assert file.is_file()
    assert not file.parent.exists()
    assert model.closed == 1


def test_a_folder_that_was_named_keeps_what_was_stored(model, local, tmp_path):
    settings = showcase.Settings(embedder=local, answers=model, folder=tmp_path / "kept")
    for _ in range(2):
        made = showcase.app(settings)
        with TestClient(made, base_url="http://127.0.0.1", headers={"origin": "http://127.0.0.1"}) as client:
            client.post("/dashboard/ask", data={"question": "Is it kept?"})
    assert model.questions == ["Is it kept?"]
    assert (tmp_path / "kept" / "showcase.db").is_file()
