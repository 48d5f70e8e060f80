"""The HTML page of the meshcat package's viewer, with what its JavaScript lacks: a camera target, keys for buttons."""

import base64
from collections.abc import Iterable
from pathlib import Path

_STYLE = "body { margin: 0; } #meshcat-pane { width: 100vw; height: 100vh; overflow: hidden; }"

# viewer.handle_command knows set_object, set_transform, set_property, set_animation, set_control; the rest is here
_SCRIPT = """
var viewer = new MeshCat.Viewer(document.getElementById("meshcat-pane"));
const keys = {};
const known = viewer.handle_command.bind(viewer);
viewer.handle_command = function (command) {
  if (command.type == "set_target") {
    viewer.controls.target.set(...command.value);
    viewer.controls.update();
    viewer.set_dirty();
    return;
  }
  if (command.type == "set_control" && command.key) keys[command.key] = command.name;
  if (command.type == "delete_control")
    for (const key in keys) if (keys[key] == command.name) delete keys[key];
  known(command);
};
function tell(event) {
  if (viewer.connection && viewer.connection.readyState == WebSocket.OPEN)
    viewer.connection.send(JSON.stringify(event));
}
window.addEventListener("keydown", (event) => {
  if (event.code in keys && !event.repeat && event.target.tagName != "INPUT")
    tell({type: "button", name: keys[event.code]});
});
"""


def javascript() -> bytes:
    """The viewer that the meshcat package brings along (three.js and all)."""
    import meshcat

    return (Path(meshcat.__file__).parent / "viewer" / "dist" / "main.min.js").read_bytes()


def live_page() -> bytes:
    """The page of a live scene: it takes its commands from the websocket /ws of the server it came from."""
    return _page('<script src="main.min.js"></script>', "viewer.connect(`ws://${location.host}/ws`);")


def static_page(commands: Iterable[bytes]) -> bytes:
    """The page of a recorded scene, with the msgpack commands and the viewer inside: it needs no server."""
    packed = ",\n".join(f'"{base64.b64encode(command).decode()}"' for command in commands)
    replay = (
        f"for (const packed of [\n{packed}\n])\n"
        "  viewer.handle_command_bytearray(Uint8Array.from(atob(packed), (c) => c.charCodeAt(0)));"
    )
    return _page(f"<script>{javascript().decode()}</script>", replay)


def _page(viewer: str, last: str) -> bytes:
    return f"""<!DOCTYPE html>
<html>
<head><meta charset="utf-8"><title>meshcat</title><style>{_STYLE}</style></head>
<body>
<div><div id="meshcat-pane"></div></div>
{viewer}
<script>{_SCRIPT}{last}
</script>
</body>
</html>
""".encode()
