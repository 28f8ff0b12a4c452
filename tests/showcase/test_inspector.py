"""The inspector behind the navigation of the showcase."""


def test_the_inspector_shows_the_cache_of_the_showcase(site, state):
    state.cache.put("What is stored?", "This.", namespace="somewhere")
    page = site.get("/inspector/").text
    assert "somewhere" in page
    assert 'href="/tenants"' in page
    assert 'href="/inspector/" aria-current="page"' in page


def test_a_path_that_is_not_there_is_said_not_to_be(site):
    assert site.get("/inspector/nowhere").status_code == 404
