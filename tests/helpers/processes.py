"""A function run in several processes."""

import torch
import torch.distributed as dist


def _worker(rank, work, folder):
    torch.set_num_threads(1)  # the pool of threads does not survive the fork
    dist.init_process_group('gloo', init_method=f'file://{folder}/init', rank=rank, world_size=2)
    torch.save(work(), f'{folder}/{rank}.pth')
    dist.destroy_process_group()


def in_two_processes(work, folder):
    """What a function returns in each of two processes over gloo."""
    context = torch.multiprocessing.get_context('fork')  # imports are done
    both = [context.Process(target=_worker, args=(rank, work, folder)) for rank in (0, 1)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
        if process.is_alive():
            process.kill()
        assert process.exitcode == 0
    return [torch.load(f'{folder}/{rank}.pth') for rank in (0, 1)]
