"""Running a scenario: every arm with every seed, pair by pair, nothing lost on the way.

A finished (arm, seed) pair is written at once. Within a pair the host looks in every few steps: it draws progress,
writes a checkpoint when asked, and reads surveys. The length of these chunks has no influence on a trajectory.

Of a run in many processes (`lpm.cluster`) all do the same; the first one decides, speaks, and writes the folder.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lpm import checkpoint, cluster, results, watch
from lpm.cluster import pieces
from lpm.errors import CheckpointError, Fault, InputError, faults
from lpm.ops.groups import people_of
from lpm.scenarios import afterwards, agents, draws, manifest, notes, saved, surveys
from lpm.scenarios.assembly import Assembly, assemble
from lpm.scenarios.options import Progress, RunOptions, silent
from lpm.scenarios.outputs import claim
from lpm.scenarios.resolved import fingerprint
from lpm.scenarios.schema import Scenario
from lpm.scenarios.stops import kept, undisturbed
from lpm.simulation import State
from lpm.types import HostArray


def run(scenario: Scenario, options: RunOptions, progress: Progress = silent) -> Path:
    """Run all arms and seeds of a scenario and write the run's folder.

    Args:
        scenario: A checked scenario.
        options: Where to, how, and whether to go on with what is there.
        progress: Told what is being done; nobody is, unless given.

    Returns:
        The folder.

    Raises:
        InputError: Bad input, or a folder that cannot be used.
        Fault: A file cannot be written. What is finished, and the last checkpoint, are kept; the message says what.
        KeyboardInterrupt: Stopped. Finished pairs are kept and the report of what there is has been written; `kept`
            says it in words.
    """
    try:
        with cluster.explaining(lambda: kept(options.out, scenario)):
            return _run(scenario, options, progress)
    except Fault as fault:
        raise Fault(f"{fault}; {kept(options.out, scenario)}") from fault


def _run(scenario: Scenario, options: RunOptions, progress: Progress) -> Path:
    with _claimed(scenario, options) as folder:
        began = time.perf_counter()
        size, people = scenario.population.size, scenario.population.people
        if size is not None and people is not None:  # else only the population can tell
            progress(f"note: {notes.scale(size, people)}", 0, 1)
        assembly = assemble(scenario, _devices(options), progress)
        if size is None or people is None:
            progress(f"note: {notes.scale(assembly.population.size, assembly.population.people)}", 0, 1)
        runner = _Runner(assembly, options, folder, progress)

        def tell(interrupted: bool) -> None:
            progress("report", 0, 1)
            seconds = runner.seconds | {"total": time.perf_counter() - began}
            if cluster.is_first():
                with undisturbed():
                    manifest.write(assembly, folder, seconds, runner.tallies, interrupted)
            progress("report", 1, 1)

        with faults():  # from here on the input is good
            try:
                runner.every_pair()
            except BaseException:
                if runner.finished:
                    with contextlib.suppress(Fault), faults():  # the first thing that went wrong is what is told
                        tell(interrupted=True)
                raise
            tell(interrupted=False)
    return options.out


@contextlib.contextmanager
def _claimed(scenario: Scenario, options: RunOptions) -> Generator[Path]:
    """Hold the folder of the run, which the first process does for all.

    Raises:
        InputError: As `claim`, or checkpoints are wanted and another process does not see the folder.
    """
    with contextlib.ExitStack() as stack:
        if cluster.is_first():
            stack.enter_context(claim(options.out, scenario, resume=options.resume))
        cluster.barrier()
        seen = cluster.gathered((options.out / "scenario.toml").is_file())
        if not all(seen) and (options.checkpoint_every is not None or options.resume):
            raise InputError(
                f"--out {options.out}: process {seen.index(False)} does not see this folder; all processes write and "
                "read checkpoints, so it has to lie where all of them see it"
            )
        yield options.out


def _devices(options: RunOptions) -> int:
    """Return the number of devices, those of all processes."""
    import jax

    there = jax.local_device_count()
    wanted = 1 if options.devices is None and jax.default_backend() == "cpu" else options.devices or there
    if wanted > there:
        raise InputError(f"--devices: expected at most the {there} devices that there are, got {wanted}")
    return wanted * cluster.count()


class _Runner:
    """The pairs of one run; keeps what is told of them at the end."""

    def __init__(self, assembly: Assembly, options: RunOptions, folder: Path, progress: Progress):
        self.assembly, self.options, self.folder, self.progress = assembly, options, folder, progress
        self.name = {"run": fingerprint(assembly.scenario)}
        self.seconds: dict[str, float] = {"compile": 0.0, "run": 0.0, "host": 0.0, "steps": 0.0}
        self.tallies: dict[tuple[str, int], dict[str, HostArray]] = {}
        self.finished = 0
        self.done_steps = 0
        self.save_agents = cluster.told(options.save_agents or (options.resume and agents.kept(folder)))

    def every_pair(self) -> None:
        """Run every pair that is not finished; a later arm's pairs of a seed follow the first arm's, seed by seed."""
        scenario, assembly = self.assembly.scenario, self.assembly
        drawn = draws.of_seeds(scenario, assembly.params)
        total = len(scenario.seeds) * len(assembly.arms) * scenario.steps
        self._remarks()
        self.progress("running", 0, total)
        for seed, params in zip(scenario.seeds, drawn, strict=True):
            for index, arm in enumerate(assembly.arms):
                if not cluster.told(cluster.is_first() and self._done(index, seed)):
                    self._pair(index, seed, params, total)
                else:
                    self.done_steps += scenario.steps
                    if cluster.is_first():
                        self.tallies[arm.name, seed] = manifest.read_tallies(self.folder, index, seed)
                self.finished += 1
                self.progress("running", self.done_steps, total)

    def _done(self, index: int, seed: int) -> bool:
        """Return whether a pair is finished, with its agents where they are to be kept."""
        if not self.options.resume or results.read_finished(self.folder, index, seed, self.name) is None:
            return False
        return not self.save_agents or agents.of_pair(self.folder, index, seed).is_file()

    def _remarks(self) -> None:
        """Tell what the options lead to that nobody may expect."""
        scenario, every = self.assembly.scenario, self.options.checkpoint_every
        if every is not None and every >= scenario.steps:
            self.progress(
                f"note: --checkpoint-every {every} writes no checkpoint in a run of {scenario.steps} steps; a finished "
                "pair of arm and seed is kept all the same",
                0,
                1,
            )
        if self.options.resume and self.save_agents:
            pairs = [(index, seed) for seed in scenario.seeds for index in range(len(scenario.arms))]
            again = [each for each in pairs if results.finished_path(self.folder, *each).exists()]
            again = [each for each in again if not agents.of_pair(self.folder, *each).is_file()]
            if again:
                self.progress(f"note: {len(again)} finished pairs are run again, to save their agents", 0, 1)

    def _pair(self, index: int, seed: int, params: Mapping[str, Any], total: int) -> None:
        scenario, simulation = self.assembly.scenario, self.assembly.simulation
        arm = self.assembly.arms[index]
        member = self.assembly.member(arm, seed, params)
        place = self.folder / "checkpoints" / f"{index}-{seed}"
        clock = time.perf_counter()
        state = simulation.start(self.assembly.agents, member, self.assembly.tables, self.assembly.ties)
        _wait(state)
        if self.seconds["compile"] == 0.0:
            self.progress("compiling", 0, 1)
            state, _ = simulation.advance(state, member, self.assembly.world, 0, 0)
            _wait(state)
            self.seconds["compile"] = time.perf_counter() - clock
            self.progress("compiling", 1, 1)
            clock = time.perf_counter()
        sums: list[dict[str, HostArray]] = []
        at = 0
        answers: list[Any] = []
        if self.options.resume:
            state, sums, at = self._resumed(place, state, sums)
            answers = surveys.kept(place, at)
        asked = surveys.due(scenario)
        while at < scenario.steps:
            stop = self._next_stop(at, asked)
            state, chunk = simulation.advance(state, member, self.assembly.world, at, stop - at)
            _wait(state)
            self._check(state, arm.name, seed, stop)
            now = time.perf_counter()
            self.seconds["run"] += now - clock
            self.seconds["steps"] += stop - at
            sums.append({name: np.asarray(values)[0, : stop - at] for name, values in chunk.items()})
            self.done_steps += stop - at
            at = stop
            if at in asked:
                view = simulation.view(state, member, at)
                seen = {n: pieces.whole_of(saved.piece_of(self.assembly.dealing, v)) for n, v in view.items()}
                answers += surveys.ask(scenario, self.assembly.population.schema, arm.name, seed, at, seen, asked[at])
            every = self.options.checkpoint_every
            if every is not None and at % every == 0 and at < scenario.steps:
                if cluster.is_first():
                    surveys.keep(place, answers)
                self._save(place, state, sums, at)
            self.progress("running", self.done_steps, total)
            clock = time.perf_counter()
            self.seconds["host"] += clock - now
        with undisturbed():
            self._finish(index, seed, state, sums, answers)
            if cluster.is_first():
                checkpoint.clear(place)

    def _next_stop(self, at: int, asked: Mapping[int, Any]) -> int:
        """Return where the chunk that begins at `at` ends: at its capacity, a checkpoint, a survey or the end."""
        every, steps = self.options.checkpoint_every, self.assembly.scenario.steps
        stop = min(at + self.assembly.model.capacity, steps)
        if every is not None:
            stop = min(stop, (at // every + 1) * every)
        return min([stop, *(step for step in asked if at < step < stop)])

    def _check(self, state: State, arm: str, seed: int, step: int) -> None:
        """Stop a pair that went wrong.

        Raises:
            InputError: A column holds what it may not, or a layer is full.
        """
        (why,) = watch.told(self.assembly.model, state)
        if why:
            raise InputError(f"{self.assembly.scenario.label}: arm '{arm}', seed {seed}, by step {step}: {why}")

    def _save(self, place: Path, state: State, sums: list[dict[str, HostArray]], at: int) -> None:
        joined = {name: np.concatenate([chunk[name] for chunk in sums]) for name in sums[0]}
        facts = {**self.name, "versions": manifest.versions()}
        checkpoint.save(place, at, {**saved.plain(state, self.assembly.dealing), "sums": joined}, facts)

    def _resumed(self, place: Path, state: State, sums: list[dict[str, HostArray]]) -> tuple[State, Any, int]:
        """Return the state of the last checkpoint (or the first state), the sums up to it, and its step."""
        example, dealing = self.assembly.simulation.shapes(), self.assembly.dealing
        like = {
            **saved.plain(state, dealing),
            "sums": {n: np.zeros((0, *s.shape[2:]), s.dtype) for n, s in example.items()},
        }
        found = checkpoint.restore(place, like, self.name["run"])
        if found is None:
            return state, sums, 0
        warning = checkpoint.warn_of_versions(found.facts, manifest.versions())
        if warning:
            self.progress(f"warning: {warning}", 0, 1)
        at, arrays = int(found.facts["step"]), found.arrays
        sums = [dict(arrays["sums"])]
        if any(len(values) != at for values in sums[0].values()):
            raise CheckpointError(f"checkpoint {place}: expected the sums of {at} steps; delete it to begin anew")
        self.done_steps += at
        return saved.restored(state, arrays, dealing), sums, at

    def _finish(
        self, index: int, seed: int, state: State, sums: list[dict[str, HostArray]], answers: list[Any]
    ) -> None:
        scenario, assembly = self.assembly.scenario, self.assembly
        asked = self.save_agents or afterwards.looks_at_agents(scenario)
        whole = saved.agents_of(state, assembly.dealing) if asked else {}
        if not cluster.is_first():
            return
        joined = {name: np.concatenate([chunk[name] for chunk in sums]) for name in sums[0]}
        groups, values = assembly.model.recorder.roll_up(joined)
        values = manifest.with_derived(assembly, groups, values)
        arm = assembly.arms[index].name
        trajectory = results.Trajectory(arm, seed, groups, values, scenario.start, scenario.step_days)
        self.tallies[arm, seed] = {
            name: people_of(values)
            for name, values in joined.items()
            if name.startswith(("reached:", "active:", "clipped:", "on:"))
        }
        manifest.write_tallies(self.folder, index, seed, self.tallies[arm, seed])
        if answers:
            surveys.write(self.folder, index, seed, answers)
        if self.save_agents:
            agents.keep(self.folder, assembly, index, seed, whole)
        afterwards.keep(self.folder, assembly, index, seed, {"agents": whole, "tables": saved.tables_of(state)})
        results.write_finished(self.folder, index, trajectory, self.name)


def _wait(tree: Any) -> None:
    import jax

    jax.block_until_ready(tree)
