"""While a reader changes the lesion the 3-D view is not drawn; afterwards it is, whatever happened meanwhile."""

import asyncio
from types import SimpleNamespace

import pytest

from DRAMLesionLib.view import available, slices

pytestmark = pytest.mark.skipif(bool(available.missing()), reason="the page's packages are not installed")


@pytest.fixture(scope="module")
def views():
    available.choose_rendering()
    from trame.app import get_server

    return slices.Slices(get_server("rest-test", client_type="vue3"))


def blocked(views):
    found = {view.is_render_blocked for view in views.app.view_manager.get_threed_views()}
    assert len(found) == 1
    return found.pop()


def test_a_changed_lesion_holds_the_3d_view_until_it_rests(views, monkeypatch):
    monkeypatch.setattr(slices, "REST_S", 0.0)
    monkeypatch.setattr(slices.Slices._hold_surfaces, "__defaults__", (0.05,))

    async def session():
        for _step in range(3):
            views.drop_lesion_surface()
            assert blocked(views)
        assert not any(view.is_render_blocked for view in views.planes)
        for _moment in range(200):
            await asyncio.sleep(0.01)
            if not blocked(views):
                return

    asyncio.run(session())
    assert not blocked(views) and views._held is None


def test_a_button_that_is_down_holds_it_and_another_case_lets_go(views):
    async def session():
        views.planes[0].interactor().InvokeEvent("LeftButtonPressEvent")
        assert blocked(views)
        views.forget()
        assert not blocked(views)

    asyncio.run(session())


def test_without_a_loop_nothing_is_held(views):
    views.drop_lesion_surface()
    assert not blocked(views)


def test_what_takes_long_waits_for_the_first_tab(views, monkeypatch):
    monkeypatch.setattr(slices, "FIRST_PICTURES_S", 0.0)
    monkeypatch.setattr(slices, "FIRST_TAB_S", 30.0)

    async def session():
        views._connected = asyncio.Event()
        waiting = asyncio.ensure_future(views.seen())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        views._server.controller.on_client_connected()
        await asyncio.wait_for(waiting, 10.0)
        await asyncio.wait_for(views.seen(), 10.0)  # once for all

    asyncio.run(session())


def test_without_a_tab_it_goes_on_after_a_while(views, monkeypatch):
    monkeypatch.setattr(slices, "FIRST_PICTURES_S", 0.0)
    monkeypatch.setattr(slices, "FIRST_TAB_S", 0.01)

    async def session():
        views._connected = asyncio.Event()
        await asyncio.wait_for(views.seen(), 10.0)

    asyncio.run(session())


def test_painting_drops_the_lesions_surface_before_and_makes_it_again_at_rest(views, monkeypatch):
    done = []
    monkeypatch.setattr(slices, "REST_S", 0.0)
    monkeypatch.setattr(slices, "drop_surfaces", lambda node: done.append(f"dropped {node}"))
    monkeypatch.setattr(slices, "making_surfaces_to_look_at", lambda nodes: iter([done.append("made")]))
    monkeypatch.setattr(views, "_nodes", SimpleNamespace(lesion="lesion", lobes="lobes"))

    async def press_and_rest():
        interactor = views.planes[0].interactor()
        interactor.InvokeEvent("LeftButtonPressEvent")
        held = list(done)
        interactor.InvokeEvent("LeftButtonReleaseEvent")
        views._draw_surfaces()
        while views._making is not None:
            await asyncio.sleep(0.01)
        return held

    assert asyncio.run(press_and_rest()) == []  # no tool: the button turns pages or windows
    done.clear()
    monkeypatch.setattr(views, "painting", True)
    assert asyncio.run(asyncio.wait_for(press_and_rest(), 30)) == ["dropped lesion"]
    assert done[-1] == "made"
