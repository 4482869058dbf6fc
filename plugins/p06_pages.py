"""Airflow's plugin: the pages of p06 in its navigation, behind its login."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from p06.airflow import pages


class Pages(AirflowPlugin):
    """One application below ``/p06`` and the place it is shown in."""

    name = "p06"
    fastapi_apps = [{"app": pages.application, "url_prefix": pages.PREFIX, "name": "p06"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "p06",
            "href": f"{pages.PREFIX}/index.html",
            "destination": "nav",
            "url_route": "p06-pages",
        },
        {
            "name": "p06 · việc chờ · desk",
            "href": f"{pages.PREFIX}/vi/desk/index.html",
            "destination": "nav",
            "url_route": "p06-desk",
        },
    ]
