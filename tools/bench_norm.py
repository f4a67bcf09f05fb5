#!/usr/bin/env python
"""Time the normalisation layers against nn.BatchNorm2d and the plain formulas, interleaved.

A table for each input: milliseconds forward ("fwd") and forward + backward; their ratio to
nn.BatchNorm ("x BN"), to the plain formulas, to torch.compile of these, to GroupNorm and to the
unfused form; the least traffic (3 passes over the input forward, 5 backward) over the time, in GB/s
and as a percentage of what a copy of the input reaches; bytes saved for backward, and the peak of
memory in forward + backward, as multiples of the input.
"""

from __future__ import annotations

import argparse
import itertools
import signal
import sys
from pathlib import Path

import torch

from normlib.analysis import training_speed
from normlib.analysis.layer_peers import PEERS
from normlib.analysis.layer_speed import (
    DEFAULT,
    DTYPES,
    LAYOUTS,
    MODES,
    OVERHEAD_SHAPE,
    Case,
    call_overhead,
    measure,
)
from normlib.analysis.speed_plot import plot, pyplot
from normlib.analysis.speed_report import (
    MEMORY_KEPT,
    Results,
    environment,
    environment_lines,
    overhead_table,
    table,
    title,
    training_table,
)
from normlib.analysis.stopwatch import keep_freed_memory

MORE = ", ".join(repr(name) for name in PEERS if name not in DEFAULT)
SHAPES = ["8,64,112,112", "8,256,56,56", "8,512,28,28", "8,2048,7,7"]


def shape(text: str) -> tuple[int, ...]:
    """Parse N,C,H,W or N,C,D,H,W."""
    sizes = tuple(int(size) if size.strip().isdecimal() else 0 for size in text.split(","))
    if len(sizes) not in (4, 5) or min(sizes) < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no shape; give N,C,H,W such as {SHAPES[1]}, or N,C,D,H,W"
        )
    return sizes


def positive(text: str) -> int:
    """Parse a count."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def device(text: str) -> str:
    """Check that this device can be used."""
    try:
        return str(torch.empty(0, device=text).device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise argparse.ArgumentTypeError(f"device {text!r}: {reason}") from None


def new_file(text: str) -> Path:
    """Check that a file can be written there."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: give a file in a folder that exists")
    return path


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--shapes", nargs="+", type=shape, default=SHAPES, metavar="N,C,H,W", help="inputs")
    add("--layouts", nargs="+", choices=LAYOUTS, default=list(LAYOUTS), help="memory layouts")
    add("--dtypes", nargs="+", choices=DTYPES, default=["float32"], help="data types of the input")
    threads = [torch.get_num_threads()]
    add("--threads", nargs="+", type=positive, default=threads, help="threads on the CPU")
    add(
        "--layers",
        nargs="+",
        choices=PEERS,
        default=list(DEFAULT),
        metavar="LAYER",
        help=f"names in the table, or one of {MORE}; what ratios need is added",
    )
    add("--mode", choices=MODES, default="train", help="state of the layers")
    add("--rounds", type=positive, default=15, help="rounds, each of which runs every layer")
    where = "cuda" if torch.cuda.is_available() else "cpu"
    add("--device", type=device, default=where, help="where to run")
    add(
        "--overhead",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure what a call costs the host, on a (2, 8, 4, 4) tensor with 1 thread",
    )
    add(
        "--keep-memory",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep freed memory in the process, on a CPU with glibc; without, times hold "
        "what the operating system needs for fresh pages",
    )
    add("--json", type=new_file, metavar="FILE", help="write everything to this file")
    add("--markdown", type=new_file, metavar="FILE", help="write the tables to this file")
    add("--plot", type=new_file, metavar="FILE.png", help="draw a roofline (needs matplotlib)")
    group = parser.add_argument_group(
        "training", "Time the training step of a ResNet-50 instead of layers."
    )
    group.add_argument("--resnet50", action="store_true", help="do so (needs torchvision)")
    norms = list(training_speed.DEFAULT)
    group.add_argument(
        "--norms",
        nargs="+",
        choices=training_speed.NORMS,
        default=norms,
        metavar="NORM",
        help="these, or 'SN reference'; nn.BatchNorm2d is added",
    )
    group.add_argument("--batch", type=positive, default=4, help="images")
    group.add_argument("--size", type=positive, default=128, help="height and width of images")
    args = parser.parse_args()
    if args.plot and args.resnet50:
        parser.error("--plot draws layers; leave out --resnet50")
    args.shapes = [shape(s) if isinstance(s, str) else s for s in args.shapes]
    try:
        if args.plot:
            pyplot()
        if args.resnet50:
            import torchvision  # noqa: F401
    except ImportError as error:
        parser.error(str(error))
    return args


def main() -> None:
    """Measure, print the tables as each is done, and write what there is at the end."""
    args = parse_arguments()
    memory_kept = args.device == "cpu" and args.keep_memory and keep_freed_memory()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if args.device != "cpu":
        torch.cuda.set_device(args.device)
    results = Results(args.device, memory_kept=memory_kept)
    print(", ".join(environment_lines(args.device)), flush=True)
    if results.memory_kept:
        print(MEMORY_KEPT, flush=True)
    try:
        run_training(args, results) if args.resnet50 else run_layers(args, results)
    finally:
        write(args, results)


def run_layers(args: argparse.Namespace, results: Results) -> None:
    """Compare layers on all inputs."""
    threads = args.threads if args.device == "cpu" else args.threads[:1]
    runs = list(itertools.product(threads, args.dtypes, args.shapes, args.layouts))
    for count, dtype, sizes, layout in runs:
        case = Case(sizes, layout, dtype, args.device, count, args.mode)
        print(f"\n{title(case)}", flush=True)
        results.comparisons.append(measure(case, args.layers, args.rounds))
        print("\n".join(table(results.comparisons[-1])), flush=True)
    if args.overhead:
        for dtype in args.dtypes:
            case = Case(OVERHEAD_SHAPE, "NCHW", dtype, args.device, 1, args.mode)
            print(f"\nCall overhead: {title(case)}", flush=True)
            results.overhead.append(call_overhead(case, args.layers, args.rounds))
            print("\n".join(overhead_table(results.overhead[-1])), flush=True)


def run_training(args: argparse.Namespace, results: Results) -> None:
    """Compare norms in a ResNet-50."""
    from torchvision.models import resnet50

    threads = args.threads if args.device == "cpu" else args.threads[:1]
    for count, dtype, layout in itertools.product(threads, args.dtypes, args.layouts):
        case = Case((args.batch, 3, args.size, args.size), layout, dtype, args.device, count)
        print(f"\nResNet-50, training step, {title(case)}", flush=True)
        training = training_speed.measure_training(
            lambda norm: resnet50(norm_layer=norm), case, args.norms, args.rounds, "ResNet-50"
        )
        results.training.append(training)
        print("\n".join(training_table(training)), flush=True)


def write(args: argparse.Namespace, results: Results) -> None:
    """Write the files that were asked for."""
    if args.json:
        args.json.write_text(results.json())
    if args.markdown:
        args.markdown.write_text(results.markdown())
    if args.plot and results.comparisons:
        plot(results.comparisons, str(environment(args.device)["device"]), args.plot)


if __name__ == "__main__":
    main()
