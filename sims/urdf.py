"""URDF for MuJoCo: find the meshes a robot description names, and keep its visual shapes."""

import xml.etree.ElementTree as ET
from pathlib import Path

from sims.errors import ModelError

MESHES = (".stl", ".obj", ".msh")  # what MuJoCo reads


def prepare(text: str, folder: Path, source: str) -> tuple[str, tuple[str, ...]]:
    """URDF text with every mesh as an absolute path, and one sentence per visual shape that MuJoCo cannot show.

    folder: where relative paths and the search for `package://name/...` (upwards, through folders called name) start;
    source: what errors call the text. Visual shapes are kept (MuJoCo's own default drops them) unless the file says
    <mujoco><compiler discardvisual="true"/>. Raises ModelError, naming link and file, for XML that is not well-formed,
    a mesh that is not there, and a collision mesh in a format that MuJoCo does not read.
    """
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise ModelError(f"{source}: not well-formed XML: {error}") from None
    extension = root.find("mujoco")
    extension = ET.SubElement(root, "mujoco") if extension is None else extension
    compiler = extension.find("compiler")
    compiler = ET.SubElement(extension, "compiler") if compiler is None else compiler
    meshdir = compiler.attrib.pop("meshdir", compiler.attrib.pop("assetdir", ""))
    compiler.set("strippath", "false")
    keep_visual = compiler.attrib.setdefault("discardvisual", "false") == "false"
    omissions = []
    for link in root.iter("link"):
        for shape in [*link.findall("collision"), *link.findall("visual")]:
            mesh = shape.find("geometry/mesh")
            if mesh is None or (shape.tag == "visual" and not keep_visual):
                continue
            where = f"{source}: link {link.get('name')!r}, {shape.tag} mesh {mesh.get('filename')!r}"
            if Path(mesh.get("filename", "")).suffix.lower() in MESHES:
                mesh.set("filename", str(_find(mesh.get("filename", ""), folder, meshdir, where)))
            elif shape.tag == "visual":
                link.remove(shape)
                omissions.append(f"{where} is not shown: MuJoCo reads {', '.join(MESHES)}")
            else:
                raise ModelError(f"{where}: MuJoCo reads {', '.join(MESHES)} only; convert the mesh to one of these")
    return ET.tostring(root, encoding="unicode"), tuple(omissions)


def _find(filename: str, folder: Path, meshdir: str, where: str) -> Path:
    scheme, separator, rest = filename.partition("://")
    if separator and scheme in ("package", "model"):
        name, _, inside = rest.partition("/")
        above = [folder, *folder.parents]
        tried = [p / name / inside for p in above] + [p / inside for p in above if p.name == name]
        advice = f"put the URDF below the folder of package {name!r}, or write a path relative to the URDF"
    else:
        path = Path(rest if separator else filename)
        tried = [folder / path, folder / meshdir / path, folder / meshdir / path.name]
        advice = "add the file or correct the path"
    for path in tried:
        if path.is_file():
            return path.absolute()
    shown = ", ".join(dict.fromkeys(str(p) for p in tried[:4]))
    raise ModelError(f"{where}: no such file; looked for {shown}{', ...' if len(tried) > 4 else ''}; {advice}")
