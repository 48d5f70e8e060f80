"""What MuJoCo knows about a state: body poses, contact forces, terms of the equations of motion."""

import numpy as np

from sims.contact import Contact, Terms
from sims.mujoco_engine import mujoco
from sims.mujoco_layout import body_names


def poses(model: mujoco.MjModel, data: mujoco.MjData) -> np.ndarray:
    """X_WB (nbody - 1, 4, 4) of every body but the world, from data.qpos."""
    mujoco.mj_kinematics(model, data)
    X_WB = np.zeros((model.nbody - 1, 4, 4))
    X_WB[:, :3, :3] = data.xmat[1:].reshape(-1, 3, 3)
    X_WB[:, :3, 3] = data.xpos[1:]
    X_WB[:, 3, 3] = 1.0
    return X_WB


def contacts(model: mujoco.MjModel, data: mujoco.MjData) -> list[Contact]:
    """The contact points that carry a force in data, after mj_forward; a flex is named as "flex NAME"."""
    names, found, wrench = body_names(model), [], np.zeros(6)
    for i in range(data.ncon):
        contact = data.contact[i]
        if contact.efc_address < 0:  # within the margin only
            continue
        mujoco.mj_contactForce(model, data, i, wrench)
        a, b = (
            names[model.geom_bodyid[geom]] if geom >= 0 else f"flex {model.flex(flex).name}"
            for geom, flex in zip(contact.geom, contact.flex, strict=True)
        )
        f_W = contact.frame.reshape(3, 3).T @ wrench[:3]  # rows: normal from a to b, two tangents
        found.append(Contact(a, b, contact.pos.copy(), f_W))
    return found


def terms(model: mujoco.MjModel, data: mujoco.MjData) -> Terms:
    """Terms at data's qpos, qvel, act and ctrl; runs mj_forward."""
    mujoco.mj_forward(model, data)
    M = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, M)
    bias, tau, vdot = data.qfrc_bias.copy(), data.qfrc_actuator.copy(), data.qacc.copy()
    data.qvel[:] = 0.0
    mujoco.mj_fwdVelocity(model, data)
    return Terms(M, bias, -data.qfrc_bias, tau, vdot)
