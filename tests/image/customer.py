"""A customer of compose's proxy, in a process of its own because it runs in a namespace: HOST AUTHORITY TOKEN."""

import io
import json
import ssl
import sys

import httpx
from PIL import Image


def main(host: str, authority: str, token: str) -> None:
    """Do the main job and print what came of it as JSON."""
    trust = ssl.create_default_context(cafile=authority)
    with httpx.Client(base_url=f"https://{host}", verify=trust, timeout=30, trust_env=False) as web:
        web.headers["authorization"] = f"Bearer {token}"
        visit = web.post("/v1/visits", json={"title": "Kitchen"})
        visit_id = visit.json()["id"]
        picture = io.BytesIO()
        Image.new("RGB", (640, 480), (200, 30, 30)).save(picture, "JPEG")
        media = web.post(
            f"/v1/visits/{visit_id}/media", content=picture.getvalue(), headers={"content-type": "image/jpeg"}
        )
        copy = web.get(f"/v1/media/{media.json()['id']}/content?size=view", follow_redirects=True)
        metrics = web.get("/metrics").status_code
        with web.stream("GET", f"/v1/visits/{visit_id}/progress") as stream:
            hello = any("event: hello" in line for line in stream.iter_lines() if line.startswith("event"))
    told = {"visit": visit.status_code, "media": media.status_code, "copy": [str(copy.url.host), copy.status_code]}
    sys.stdout.write(json.dumps(told | {"hello": hello, "metrics": metrics}))


if __name__ == "__main__":
    main(*sys.argv[1:])
