"""Several machines as several agents of torchrun: a lost process, restarts."""

import os
import re
import signal
import time

import pytest

from helpers.forked import free_port, start_script, train_in_processes
from helpers.paths import ROOT
from helpers.runs import losses
from helpers.slow import SLOW

LOG = """
    log_processor = dict(window_size=1)
    visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
    model['queue_len'] = 32
    train_dataloader['batch_size'] = {batch}
    train_cfg['max_epochs'] = {epochs}
    default_hooks['checkpoint'].update(by_epoch=False, interval=4, max_keep_ckpts=2)
    default_hooks['guard'] = dict(type='mssl_plugins.LossGuard')
"""


class Agents:
    """Agents of torchrun, one a machine, each with its processes.

    An agent is forked with torch imported; its processes start as a user's do.
    """

    def __init__(self, folder, config, machines, each, *argv, options=()):
        self.work, self.port = folder / 'run', free_port()
        self.logs = [folder / f'agent{i}.txt' for i in range(machines)]
        self.agents = []
        for i, log in enumerate(self.logs):
            command = ['-m', 'torch.distributed.run', '--nproc-per-node', str(each)]
            command += ['--nnodes', str(machines), '--node-rank', str(i)]
            command += ['--master-addr', '127.0.0.1', '--master-port', str(self.port), *options]
            command += [ROOT / 'tools/train.py', config, '--work-dir', self.work, *argv]
            env = dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=f'{ROOT}:{ROOT}/tests')
            log.write_text('')
            self.agents.append(start_script(command, folder, env, (log, log)))

    @property
    def text(self):
        return '\n'.join(log.read_text() for log in self.logs)

    def after(self, step):
        end = time.time() + 200
        while max(losses(self.work), default=0) < step:
            assert all(a.is_alive() for a in self.agents) and time.time() < end, self.text
            time.sleep(0.05)

    def workers(self, agent):
        """Pids of an agent's processes by their ranks there."""
        pid, found = self.agents[agent].pid, {}
        children = open(f'/proc/{pid}/task/{pid}/children').read().split()
        for child in children:
            env = open(f'/proc/{child}/environ').read()
            rank = re.search(r'\0LOCAL_RANK=(\d+)', env)
            if rank:
                found[int(rank[1])] = int(child)
        return found

    def wait(self, seconds=240):
        try:
            for agent in self.agents:
                agent.join(seconds)
                assert not agent.is_alive(), self.text
            return [agent.exitcode for agent in self.agents]
        finally:
            self.end()

    def end(self):
        for i, agent in enumerate(self.agents):
            if agent.is_alive():
                for pid in self.workers(i).values():
                    os.kill(pid, signal.SIGKILL)
                agent.kill()
                agent.join()


@pytest.fixture
def start(tmp_path, tiny_config):
    begun = []

    def start(machines=1, epochs=400, argv=(), options=(), each=2, extra=''):
        config = tiny_config(LOG.format(batch=8 // (each * machines), epochs=epochs))
        config.write_text(config.read_text() + extra)
        begun.append(Agents(tmp_path, config, machines, each, *argv, options=options))
        return begun[-1]

    yield start
    for agents in begun:
        agents.end()


def test_two_machines_train_as_two_processes_do(start, tmp_path):
    run = start(machines=2, epochs=2, each=1)
    assert run.wait() == [0, 0], run.text[-3000:]
    one = train_in_processes(tmp_path, 2, tmp_path / 'tiny.py', '--work-dir', tmp_path / 'one')
    assert one.status == 0, one.text[-3000:]
    assert losses(run.work) == losses(tmp_path / 'one') and len(losses(run.work)) > 5
    names = {path.name for path in run.work.glob('*.pth')}
    assert names == {path.name for path in (tmp_path / 'one').glob('*.pth')} != set()


def test_two_machines_end_with_a_lost_process(start):
    """Two agents of two processes train; one process is lost, and all end with the cause."""
    run = start(machines=2)
    run.after(5)
    os.kill(run.workers(1)[0], signal.SIGKILL)
    assert all(run.wait())
    # seen at once: after the collectives' timeout it would say "does not answer"
    assert 'error: another process of the run is gone' in run.text, run.text[-3000:]
    assert 'last good checkpoint' in run.text and 'go on with --resume' in run.text


def test_a_frozen_process_ends_the_run(start):
    """It closes no connection: the others wait for the timeout that the config gives."""
    run = start(argv=['--cfg-options', 'env_cfg.dist_cfg.timeout=20'])
    run.after(5)
    frozen, end = run.workers(0)[1], time.time() + 120
    os.kill(frozen, signal.SIGSTOP)
    said = 'error: another process of the run does not answer'
    while said not in run.text and time.time() < end:
        time.sleep(0.1)
    os.kill(frozen, signal.SIGKILL)  # its agent would do that half a minute later
    assert all(run.wait())
    assert said in run.text, run.text[-3000:]
    assert 'go on with --resume' in run.text


def test_an_elastic_run_goes_on_from_its_last_checkpoint(start):
    # slowly, so that the loss of a process finds it running
    run = start(epochs=6, argv=['--resume'], options=['--max-restarts', '1'], extra=SLOW)
    run.after(6)
    os.kill(run.workers(0)[1], signal.SIGKILL)
    assert run.wait() == [0], run.text[-3000:]
    assert re.search(r'going on from .*iter_\d+\.pth: \d+ of \d+ iterations are done', run.text)
    found = losses(run.work)
    assert sorted(found) == list(range(1, max(found) + 1))
    assert all(len(values) == 1 for values in found.values())  # done twice, they were the same
