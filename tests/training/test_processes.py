"""Several processes train what one does: the contract of docs/many_machines.md, with gloo."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_world import OPTIONS, ring, sids_of

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.engine.processes import Processes, check_processes, check_shared_batches
from genrec.errors import ConfigError
from genrec.training.fit import fit
from genrec.training.plan import BatchPlan
from genrec.training.settings import TrainSettings

WORLD, SIDS = ring(num_items=30, num_users=40, max_len=9), sids_of(30, (4, 5, 6))
HYBRID = next(option for option in OPTIONS if option.id == "encdec-hybrid")
SETTINGS = TrainSettings(
    epochs=12, lr=5e-3, warmup_steps=3, batch_states=40, crop_rate=0.3, num_validations=3, validation_users=15, precision="fp32"
)


def train(work: Path, settings: TrainSettings = SETTINGS) -> dict[str, torch.Tensor]:
    """The weights after a training without dropout."""
    trie = PrefixTrie.build(SIDS)
    generator = HYBRID.build(SIDS, train_counts=WORLD.train_counts, dropout=0.0, identity_dropout=0.0)
    objective = HYBRID.objective(trie, generator)
    fit(
        generator,
        objective,
        WORLD,
        trie,
        settings,
        work=work,
        device=torch.device("cpu"),
        progress=False,
        log=lambda line: None,
    )
    return dict(generator.state_dict())


def test_shares_sum_to_the_batch() -> None:
    plan = BatchPlan(WORLD.train, max_history_len=6, batch_states=40, epochs=1)
    for batch in plan.batches():
        parts = [batch.part(Processes(rank, 3)) for rank in range(3)]
        assert sum(part.share for part in parts) == pytest.approx(1)
        assert all(part.num_targets == batch.batch.num_targets for part in parts)
        assert sum(len(part.batch) for part in parts) == len(batch.batch)


def test_fewer_rows_than_processes() -> None:
    plan = BatchPlan(WORLD.train, max_history_len=6, batch_states=40, epochs=1)
    batch = next(plan.batches())
    shares = [batch.part(Processes(rank, 100)).share for rank in range(100)]
    assert sum(shares) == pytest.approx(1)
    assert shares[-1] == 0


def test_weighted_targets_share_by_their_weights() -> None:
    weights = np.linspace(0.5, 3, len(WORLD.train.item_idx)).astype(np.float32)
    plan = BatchPlan(WORLD.train, max_history_len=6, batch_states=40, epochs=1, weights=weights)
    batch: Batch = next(plan.batches()).batch
    loss = torch.rand(batch.history.shape[0], batch.history.shape[1] + 1)
    whole, parts = next(plan.batches()), [next(plan.batches()).part(Processes(rank, 2)) for rank in range(2)]

    def mean(rows: Batch, values: torch.Tensor) -> torch.Tensor:
        assert rows.targets is not None
        assert rows.target_weights is not None
        return (values[rows.targets >= 0] * rows.target_weights).mean()

    shared = sum(part.share * mean(part.batch, loss[rank::2]) for rank, part in enumerate(parts))
    assert float(shared) == pytest.approx(float(mean(whole.batch, loss)))


def test_refusals_name_what_to_do() -> None:
    with pytest.raises(ConfigError, match="torchrun --nnodes 1 --nproc-per-node 4 -m genrec train"):
        check_processes({"devices": 4}, Processes())
    check_processes({"devices": 2, "num_nodes": 3}, Processes(0, 6, 0, 2))
    cobra = next(option for option in OPTIONS if option.id == "cobra").build(SIDS, train_counts=WORLD.train_counts)
    check_shared_batches(cobra, HYBRID.objective(PrefixTrie.build(SIDS), cobra), Processes())
    with pytest.raises(ConfigError, match="generator: expected one whose rows of a batch do not depend on each other"):
        check_shared_batches(cobra, HYBRID.objective(PrefixTrie.build(SIDS), cobra), Processes(0, 2))
    with pytest.raises(ConfigError, match="objective: expected"):
        check_shared_batches(HYBRID.build(SIDS, train_counts=WORLD.train_counts), object(), Processes(0, 2))


def train_together(work: Path, world: int, stop_after: int = 0) -> dict[str, torch.Tensor]:
    """The weights that some processes of this file train; with ``stop_after`` they die when so many rounds are done."""
    work.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"TORCHELASTIC_RUN_ID": "test", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(world)}
    running = [
        subprocess.Popen(
            [sys.executable, __file__, str(work), str(stop_after)],
            env=os.environ
            | shared
            | {"RANK": str(rank), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(world), "OMP_NUM_THREADS": "1"}
            | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        for rank in range(world)
    ]
    codes = [process.wait(timeout=120) for process in running]
    assert all(codes) if stop_after else not any(codes)
    return {} if stop_after else torch.load(work / "weights.pt")


def difference(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    """Relative to the norm of all weights."""
    squares = sum(float(((first[name] - second[name]).double() ** 2).sum()) for name in first)
    return (squares / sum(float((weight.double() ** 2).sum()) for weight in first.values())) ** 0.5


@pytest.mark.slow
def test_two_and_three_processes_train_what_one_does(tmp_path: Path) -> None:
    alone = train(tmp_path)
    for world in (2, 3):
        assert difference(alone, train_together(tmp_path / str(world), world)) < 1e-6


@pytest.mark.slow
def test_one_process_goes_on_where_two_were_killed(tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    alone = train(tmp_path / "alone")
    train_together(tmp_path / "two", 2, stop_after=1)
    assert difference(alone, train(tmp_path / "two")) < 1e-6


if __name__ == "__main__":
    import lightning

    from genrec.engine.processes import processes
    from genrec.training.checkpointing import RoundKeeper

    folder, last_round = Path(sys.argv[1]), int(sys.argv[2])

    class Dying(RoundKeeper):
        """Dies when a round is whole."""

        def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
            if last_round and trainer.current_epoch == last_round:
                self.here.gather(None)  # the checkpoint is written
                os._exit(9)
            super().on_train_epoch_start(trainer, pl_module)

    import genrec.training.fit as fitting

    fitting.RoundKeeper = Dying  # type: ignore[misc]
    result = train(folder)
    if processes().leads:
        torch.save(result, folder / "weights.pt")
