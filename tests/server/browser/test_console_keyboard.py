"""The console by the keyboard alone, and what a screen reader is told."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("playwright")

from playwright.sync_api import expect

from mien.images.samples import Samples

PHONE = {"width": 360, "height": 740}
MOST_STEPS = 60


def focused(page: Any) -> str:
    """What has the focus, as it is named."""
    return str(
        page.evaluate(
            "(() => { const e = document.activeElement;"
            " return e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent.trim(); })()"
        )
    )


def tab_to(page: Any, name: str, key: str = "Tab") -> None:
    """Press Tab until something of that name has the focus, which must be seen to have it."""
    for _ in range(MOST_STEPS):
        page.keyboard.press(key)
        if focused(page) == name:
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"nothing shows that {name} has the focus"
            return
    raise AssertionError(f"{name} is not reached by {key}")


def test_the_first_stop_leads_to_the_content(console: Any) -> None:
    console.open()
    console.page.keyboard.press("Tab")
    assert focused(console.page) == "Skip to the content"
    expect(console.page.locator(".skip")).to_be_in_viewport()
    console.page.keyboard.press("Enter")
    assert console.page.evaluate("document.activeElement.id") == "main"
    expect(console.page.locator("h1")).to_have_text("Dashboard")


def test_a_new_page_is_announced_by_its_heading(console: Any) -> None:
    console.open()
    tab_to(console.page, "Compare")
    console.page.keyboard.press("Enter")
    expect(console.page.locator("h1")).to_be_focused()
    expect(console.page.locator("h1")).to_have_text("Compare")
    assert console.page.title() == "Compare – mien"
    assert console.page.locator("nav [aria-current=page]").inner_text() == "Compare"
    console.page.go_back()
    expect(console.page.locator("h1")).to_have_text("Dashboard")
    expect(console.page.locator("h1")).to_be_focused()


def test_the_whole_way_of_a_person_by_keyboard(console: Any, server: Any, samples: Samples) -> None:
    """Enroll, tag, rename and erase someone, without a pointer."""
    page = console.page
    console.open("enroll")
    with page.expect_file_chooser() as chooser:
        tab_to(page, "Choose files")
        page.keyboard.press("Enter")
    chooser.value.set_files(samples.biden)
    expect(page.get_by_label("Who is this?")).to_be_focused()
    page.keyboard.type("Joe")
    expect(page.locator(".photo .state")).to_contain_text("Good")
    tab_to(page, "Enroll 1 photo")
    page.keyboard.press("Enter")
    console.told("1 photo was enrolled.")
    tab_to(page, "Show the people")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("People")
    expect(page.locator("tbody tr")).to_have_count(1)
    tab_to(page, "Joe")
    page.keyboard.press("Enter")
    expect(console.button("Rename")).to_be_visible()
    tab_to(page, "Rename")
    page.keyboard.press("Enter")
    expect(page.get_by_label("New name")).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.type(" Biden")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Joe Biden")
    expect(page.locator("h1")).to_be_focused()
    expect(console.button("Erase")).to_be_visible()
    tab_to(page, "Erase")
    page.keyboard.press("Enter")
    page.keyboard.type("Joe Biden")
    page.keyboard.press("Enter")
    console.told("Joe Biden was erased.")
    with server.client() as client:
        assert client.get("/v1/galleries/default/identities").json()["total"] == 0


def test_a_dialog_keeps_the_focus_and_gives_it_back(console: Any) -> None:
    page = console.page
    console.open()
    tab_to(page, "New gallery")
    page.keyboard.press("Enter")
    expect(console.dialog).to_be_visible()
    for _ in range(12):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    page.keyboard.press("Escape")
    expect(console.dialog).to_have_count(0)
    assert focused(page) == "New gallery"


def test_the_menu_of_a_phone(opened: Any, server: Any) -> None:
    console = opened(server.url, viewport=PHONE)
    page = console.page
    console.open()
    expect(page.get_by_role("link", name="Jobs")).to_be_hidden()
    tab_to(page, "Menu")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Menu")).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Jobs")).to_be_hidden()
    assert focused(page) == "Menu"
    page.keyboard.press("Enter")
    tab_to(page, "Jobs")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Jobs")
    expect(page.get_by_role("button", name="Menu")).to_have_attribute("aria-expanded", "false")


def test_what_happens_is_in_a_live_region(console: Any, samples: Samples) -> None:
    console.open("identify")
    for place in ("#notices", ".summary", ".advice"):
        assert console.page.locator(place).get_attribute("role") == "status", place
    console.choose(samples.biden)
    expect(console.page.locator(".summary")).to_have_text("1 face, nobody known.")
    alternative = console.page.locator(".boxed img").get_attribute("alt")
    assert "1 face, nobody known" in alternative
