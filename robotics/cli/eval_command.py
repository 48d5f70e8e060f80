"""`swingup eval`: success rate with its interval, and the seed of every episode."""

import argparse

from robotics.cli import output
from robotics.cli.output import BACKENDS, DONE, FAILED, emit


def add(commands, common) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("eval", parents=[common], help="success rate of a controller over seeded starts")
    parser.add_argument("task", metavar="TASK", help="see `swingup list`")
    parser.add_argument("--controller", metavar="C", help="default: the task's first")
    parser.add_argument("--sim", choices=BACKENDS, help="default: the task's first, closed form where there is one")
    parser.add_argument("-n", type=output.count, default=100, help="episodes, default 100")
    parser.add_argument("--seed", type=output.seed, default=0, help="of the whole evaluation, default 0")
    parser.add_argument("--dt", type=output.positive, metavar="S", help="time step [s]; default: the task's")
    parser.add_argument("--duration", type=output.positive, metavar="S", help="of an episode [s]; default: the task's")
    parser.add_argument("--workers", type=output.count, default=1, help="processes, default 1")
    parser.add_argument("--episode", type=output.seed, metavar="SEED", help="play only the episode with this seed")
    parser.add_argument("--at-least", type=output.count, metavar="K", help="exit 1 unless K episodes succeed")
    parser.set_defaults(command_function=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, or play one episode of an evaluation again."""
    from robotics.evaluate import episode, evaluate

    chosen = {"controller": arguments.controller, "backend": arguments.sim, "dt": arguments.dt}
    chosen["duration"] = arguments.duration
    if arguments.episode is not None:
        one = episode(arguments.task, arguments.episode, **chosen)
        data = {"seed": one.seed, "success": one.success, "cost": _number(one.cost), "effort": _number(one.effort)}
        data |= {"status": one.trajectory.status, "final_state": one.trajectory.x[-1].tolist()}
        outcome = "success" if one.success else "no success"
        emit(arguments, data, f"episode with seed {one.seed}: {outcome}, cost {one.cost:.6g}, effort {one.effort:.6g}")
        return DONE
    with output.progress(arguments, arguments.task) as bar:
        result = evaluate(
            arguments.task, n=arguments.n, seed=arguments.seed, workers=arguments.workers, progress=bar, **chosen
        )
    lines = [str(result)]
    if result.failed:
        shown = ", ".join(map(str, result.failed[:5])) + (", ..." if len(result.failed) > 5 else "")
        lines.append(f"without success: {shown}; play one again with --episode SEED")
    emit(arguments, result.to_dict(), "\n".join(lines))
    return FAILED if arguments.at_least is not None and result.successes < arguments.at_least else DONE


def _number(value: float) -> float | None:
    return value if abs(value) < float("inf") else None
