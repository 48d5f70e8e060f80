"""What a compiled MuJoCo model says that the Drake plant cannot carry: refused by name, or listed as an omission."""

from collections.abc import Iterable

import mujoco
import numpy as np

from sims.errors import ModelError, unknown

# what can be allowed by name: feature -> what ignoring it means
FEATURES = {
    "activation": "actuators with activation dynamics (Drake would have no state for them)",
    "actuator": "actuators of a kind that has no Drake counterpart here (their force would be missing)",
    "adhesion": "adhesion of a geom or contact pair",
    "armature": "armature of a free or ball joint (Drake has rotor inertia on 1-dof joints only)",
    "damping": "negative or nonlinear damping, and damping of a ball joint",
    "equality": "equality constraints (Drake has connect, weld and linear joint ones, with integrator='discrete')",
    "fluid": "fluid forces (option density, viscosity or wind)",
    "flex": "deformable bodies",
    "frictionloss": "dry friction in joints or tendons",
    "geom": "colliding geoms of a type Drake's point contact does not take",
    "gravcomp": "gravity compensation of a body",
    "limits": "position limits that would be ignored",
    "plugin": "MuJoCo engine plugins",
    "stiffness": "negative, nonlinear or plastic joint springs, and springs of free and ball joints",
    "surfacevel": "surface velocity of a geom",
    "tendon": "springs, damping, armature or limits of tendons",
}


def check(m: mujoco.MjModel, *, contact: bool, limits: bool, discrete: bool, allow: Iterable[str]) -> tuple[str, ...]:
    """The omissions, one sentence each, of a Drake plant built from m.

    Raises ModelError with every feature that changes the motion and is not in `allow` (keys of FEATURES), ValueError
    for a name in `allow` that is none of them.
    """
    for name in allow:
        if name not in FEATURES:
            raise unknown("feature to allow", name, FEATURES)
    found = {k: v for k, v in _unsupported(m, contact, limits, discrete).items() if v}
    refused = {k: v for k, v in found.items() if k not in set(allow)}
    if refused:
        lines = [f"  {k}: {FEATURES[k]}: {', '.join(v)}" for k, v in refused.items()]
        names = ", ".join(repr(k) for k in [*allow, *refused])
        raise ModelError(
            "Drake cannot simulate what this model says:\n"
            + "\n".join(lines)
            + f"\nChange the model, or drop it knowingly: DrakeSimulator(..., allow=({names},))"
        )
    allowed = [f"{k}: ignored, as allowed: {FEATURES[k]}: {', '.join(v)}" for k, v in found.items()]
    return tuple(allowed + _harmless(m, contact, limits, discrete))


def name_of(m: mujoco.MjModel, kind: int, i: int, word: str) -> str:
    """The name of an element, or its kind and number if it has none."""
    return mujoco.mj_id2name(m, int(kind), int(i)) or f"{word}{i}"


def _pick(m: mujoco.MjModel, kind: mujoco.mjtObj, word: str, mask) -> list[str]:
    return [name_of(m, kind, i, word) for i in np.flatnonzero(mask)]


def disabled(m: mujoco.MjModel, bit: mujoco.mjtDisableBit) -> bool:
    """Whether the model's option flag switches this part of MuJoCo off."""
    return bool(m.opt.disableflags & int(bit))


def has_limits(m: mujoco.MjModel, limits: bool) -> bool:
    """Whether joint limits are to be enforced at all."""
    bit = mujoco.mjtDisableBit
    return limits and not disabled(m, bit.mjDSBL_LIMIT) and not disabled(m, bit.mjDSBL_CONSTRAINT)


def has_contact(m: mujoco.MjModel, contact: bool) -> bool:
    """Whether contact is to be simulated at all."""
    bit = mujoco.mjtDisableBit
    return contact and not disabled(m, bit.mjDSBL_CONTACT) and not disabled(m, bit.mjDSBL_CONSTRAINT)


def _unsupported(m: mujoco.MjModel, contact: bool, limits: bool, discrete: bool) -> dict[str, list[str]]:
    obj, bit = mujoco.mjtObj, mujoco.mjtDisableBit
    kinds = np.array([int(t) for t in m.jnt_type], int)
    single = (kinds == int(mujoco.mjtJoint.mjJNT_HINGE)) | (kinds == int(mujoco.mjtJoint.mjJNT_SLIDE))
    ball = kinds == int(mujoco.mjtJoint.mjJNT_BALL)
    of_dof = m.dof_jntid
    loss = not disabled(m, bit.mjDSBL_FRICTIONLOSS) and not disabled(m, bit.mjDSBL_CONSTRAINT)
    damper, spring = not disabled(m, bit.mjDSBL_DAMPER), not disabled(m, bit.mjDSBL_SPRING)
    nonlinear = (m.dof_dampingpoly != 0).any(axis=1) | (m.dof_damping < 0)
    ignored_limit = m.jnt_limited.astype(bool) & (ball | (not discrete)) & has_limits(m, limits)
    springs = (m.jnt_stiffness != 0) & ~single | (m.jnt_stiffnesspoly != 0).any(axis=1)
    springs |= (m.jnt_springyield != 0) | (m.jnt_stiffness < 0)
    out = {
        "armature": _dofs(m, (m.dof_armature != 0) & ~single[of_dof]),
        "damping": _dofs(m, damper & (nonlinear | (m.dof_damping != 0) & ball[of_dof])),
        "equality": _equalities(m, discrete),
        "frictionloss": _dofs(m, (m.dof_frictionloss != 0) & loss)
        + _pick(m, obj.mjOBJ_TENDON, "tendon", (m.tendon_frictionloss != 0) & loss),
        "fluid": [f"option {k}" for k in ("density", "viscosity", "wind") if np.any(getattr(m.opt, k) != 0)],
        "flex": [f"{m.nflex} flexes"] * (m.nflex > 0),
        "gravcomp": _pick(m, obj.mjOBJ_BODY, "body", m.body_gravcomp != 0),
        "limits": _pick(m, obj.mjOBJ_JOINT, "joint", ignored_limit),
        "plugin": [f"{m.nplugin} plugins"] * (m.nplugin > 0),
        "stiffness": _pick(m, obj.mjOBJ_JOINT, "joint", springs & spring),
        "tendon": _tendons(m, limits),
    }
    return out | _actuators(m) | (_contacts(m) if has_contact(m, contact) else {})


def _dofs(m: mujoco.MjModel, mask) -> list[str]:
    joints = dict.fromkeys(int(m.dof_jntid[i]) for i in np.flatnonzero(mask))
    return [name_of(m, mujoco.mjtObj.mjOBJ_JOINT, j, "joint") for j in joints]


def _actuators(m: mujoco.MjModel) -> dict[str, list[str]]:
    if disabled(m, mujoco.mjtDisableBit.mjDSBL_ACTUATION):
        return {}
    act, kind = [], []
    for i in range(m.nactuator):
        name = name_of(m, mujoco.mjtObj.mjOBJ_ACTUATOR, i, "actuator")
        if int(m.actuator_dyntype[i]) != int(mujoco.mjtDyn.mjDYN_NONE) or m.actuator_actnum[i]:
            act.append(name)
        elif why := why_not(m, i):
            kind.append(f"{name} ({why})")
    return {"activation": act, "actuator": kind}


def why_not(m: mujoco.MjModel, i: int) -> str:
    """Why actuator i cannot be carried over, "" if it can."""
    trn, gain, bias, jnt = mujoco.mjtTrn, mujoco.mjtGain, mujoco.mjtBias, mujoco.mjtJoint
    kind, target = int(m.actuator_trntype[i]), m.actuator_trnid[i]
    if m.actuator_ctrlnum[i] != 1 or m.actuator_outnum[i] != 1:
        return "several controls or outputs"
    if int(m.actuator_gaintype[i]) not in (int(gain.mjGAIN_FIXED), int(gain.mjGAIN_AFFINE)):
        return "gaintype"
    if int(m.actuator_biastype[i]) not in (int(bias.mjBIAS_NONE), int(bias.mjBIAS_AFFINE)):
        return "biastype"
    if m.actuator_delay[i]:
        return "delay"
    if np.any(m.actuator_dampingpoly[i]):
        return "nonlinear damping"
    scalar = kind in (int(trn.mjTRN_JOINT), int(trn.mjTRN_JOINTINPARENT)) and int(m.jnt_type[target[0]]) >= 2
    if (m.actuator_damping[i] or m.actuator_armature[i]) and not scalar:
        return "armature or damping of an actuator that is not on a 1-dof joint"
    if kind == int(trn.mjTRN_TENDON):
        fixed = int(m.tendon_type[target[0]]) == int(mujoco.mjtTendon.mjTENDON_FIXED)
        return "" if fixed else "spatial tendon"
    if kind == int(trn.mjTRN_SITE):
        return "" if target[1] < 0 else "refsite"
    if kind in (int(trn.mjTRN_JOINT), int(trn.mjTRN_JOINTINPARENT)):
        joint = int(m.jnt_type[target[0]])
        many = joint in (int(jnt.mjJNT_BALL), int(jnt.mjJNT_FREE))
        servo = m.actuator_biasprm[i, 1] or m.actuator_gainprm[i, 1]
        if many and kind == int(trn.mjTRN_JOINTINPARENT):
            return "jointinparent"
        return "position feedback on a ball joint" if servo and joint == int(jnt.mjJNT_BALL) else ""
    return "transmission"


def _equalities(m: mujoco.MjModel, discrete: bool) -> list[str]:
    bit = mujoco.mjtDisableBit
    if disabled(m, bit.mjDSBL_EQUALITY) or disabled(m, bit.mjDSBL_CONSTRAINT):
        return []
    active = [i for i in range(m.neq) if m.eq_active0[i] and not (discrete and carries_equality(m, i))]
    return [name_of(m, mujoco.mjtObj.mjOBJ_EQUALITY, i, "equality") for i in active]


def carries_equality(m: mujoco.MjModel, i: int) -> bool:
    """Whether a discrete Drake plant has this constraint: connect, weld, or a linear relation of two joints."""
    eq, kind = mujoco.mjtEq, int(m.eq_type[i])
    if kind in (int(eq.mjEQ_CONNECT), int(eq.mjEQ_WELD)):
        return int(m.eq_objtype[i]) == int(mujoco.mjtObj.mjOBJ_BODY)
    return kind == int(eq.mjEQ_JOINT) and m.eq_obj2id[i] >= 0 and not np.any(m.eq_data[i, 2:5])


def _tendons(m: mujoco.MjModel, limits: bool) -> list[str]:
    mask = (m.tendon_stiffness != 0) | (m.tendon_damping != 0) | (m.tendon_armature != 0)
    mask |= (m.tendon_stiffnesspoly != 0).any(axis=1) | (m.tendon_dampingpoly != 0).any(axis=1)
    mask |= m.tendon_actfrclimited.astype(bool) | m.tendon_limited.astype(bool) & has_limits(m, limits)
    return _pick(m, mujoco.mjtObj.mjOBJ_TENDON, "tendon", mask)


def _contacts(m: mujoco.MjModel) -> dict[str, list[str]]:
    obj, kind = mujoco.mjtObj, mujoco.mjtGeom
    colliding = (m.geom_contype | m.geom_conaffinity) != 0
    odd = np.isin(m.geom_type, [int(kind.mjGEOM_HFIELD), int(kind.mjGEOM_SDF)])
    return {
        "geom": _pick(m, obj.mjOBJ_GEOM, "geom", colliding & odd),
        "adhesion": _pick(m, obj.mjOBJ_GEOM, "geom", colliding & _any(m.geom_adhesion))
        + _pick(m, obj.mjOBJ_PAIR, "pair", _any(m.pair_adhesion)),
        "surfacevel": _pick(m, obj.mjOBJ_GEOM, "geom", colliding & _any(m.geom_surfacevel)),
    }


def _any(values: np.ndarray) -> np.ndarray:
    """Per row, whether any value is not zero; (0,) for an empty table."""
    return (values != 0).any(axis=tuple(range(1, values.ndim)))


def _harmless(m: mujoco.MjModel, contact: bool, limits: bool, discrete: bool) -> list[str]:
    obj, out = mujoco.mjtObj, []
    balls = _pick(m, obj.mjOBJ_JOINT, "joint", [int(t) == int(mujoco.mjtJoint.mjJNT_BALL) for t in m.jnt_type])
    if balls:
        out.append(f"ball joints are roll-pitch-yaw in Drake and singular at a pitch of pi/2: {', '.join(balls)}")
    if has_limits(m, limits) and m.jnt_limited.any():
        out.append("joint limits are nearly rigid in Drake: solreflimit, solimplimit and margin are not used")
    if m.neq and not disabled(m, mujoco.mjtDisableBit.mjDSBL_EQUALITY):
        out.append("equality constraints are nearly rigid in Drake: solref and solimp are not used")
    idle = [i for i in range(m.ntendon) if not _drives_tendon(m, i)]
    if idle:
        names = ", ".join(name_of(m, obj.mjOBJ_TENDON, i, "tendon") for i in idle)
        out.append(f"tendons that no actuator pulls are left out: {names}")
    if has_contact(m, contact) and ((m.geom_contype != 0).any() or m.npair):
        out.append(
            "contact is Drake's point contact: solref, solimp, margin and gap are not used, and friction is sliding "
            "friction only (no torsion, no rolling, the first of the two tangential coefficients)"
        )
        uneven = _pick(m, obj.mjOBJ_PAIR, "pair", (m.pair_friction[:, 0] != m.pair_friction[:, 1]) & (m.pair_dim > 1))
        if uneven:
            out.append(
                f"contact pairs with two different tangential coefficients slide by the first: {', '.join(uneven)}"
            )
    if m.nsensor:
        out.append(f"sensors are left out ({m.nsensor})")
    return out


def _drives_tendon(m: mujoco.MjModel, tendon: int) -> bool:
    return any(
        int(m.actuator_trntype[i]) == int(mujoco.mjtTrn.mjTRN_TENDON) and m.actuator_trnid[i, 0] == tendon
        for i in range(m.nactuator)
    )
