"""Threads that work together, as LLVM IR: how they meet, share work, live, and are handed a call.

A *team* is one block of memory: two lines for the barrier, then a `SLOT_BYTES` slot for every worker. The caller is
thread 0 of its team and does its own part. Hand-over is one store and one load that both sides look at (`wanted`); a
worker that finds nothing to do for `SPINS` turns, some thirty microseconds, goes to sleep on a condition variable.
Whoever waits for threads that work looks `SPINS` times and from then on lets others run in between: on a busy machine
the one that is waited for may need this very core.

The layout of a slot is that of `runtime.threads`, which makes and ends teams.
"""

from __future__ import annotations

from rnncc.codegen.target import Target

SPINS = 6000
"""Looks before a thread sleeps, or lets others run; each takes some 5 ns.

Between two calls of a model that leaves nothing of Python in the caches there are 10 to 30 us, and to wake a worker
takes as long: with 2,000 looks, one row of two bidirectional layers took 5 % more, one of four gates of 128 units whose
states are dropped out 6 %, and 32 rows of four such gates 3 %.
"""

BARRIER_BYTES = 128
"""A word that says whether somebody has left, and on a line of its own `arrived` and `unclaimed` of thread 0."""

SLOT_BYTES = 512
"""A worker's slot: see `FIELDS`."""

FIELDS = {"wanted": 0, "finished": 64, "sleeping": 128, "job": 192, "mutex": 256, "condition": 384}
FIELDS |= {"arrived": 448, "unclaimed": 456}
"""Offsets in a slot, on lines of their own but for the two that others look at one after the other. All but the mutex
and the condition are words of 8 bytes."""

_ARRIVED = BARRIER_BYTES + FIELDS["arrived"] - SLOT_BYTES
"""Where thread 0 counts its arrivals; every next thread does so one slot further."""

_UNCLAIMED = BARRIER_BYTES + FIELDS["unclaimed"] - SLOT_BYTES
"""Where it is counted what is left of the share of thread 0; that of every next one is one slot further."""

JOB = {"function": "ptr", "pointers": "ptr", "dims": "ptr", "status": "ptr", "thread": "i64", "threads": "i64"}
"""The words of a job in their order; `barrier` and `result` follow."""

STOPPED = -1
"""What a thread returns that left because another one did."""


def barrier_text(target: Target) -> str:
    """`i1 rnncc.barrier(ptr, i64 thread, i64 threads)`: true when a thread has left, and nobody must wait for it.

    Every thread counts its arrivals on a line of its own, and looks at the lines of the others. Nobody writes where
    somebody else does, so that a line travels once.
    """
    return f"""
define internal i1 @"rnncc.barrier"(ptr %barrier, i64 %thread, i64 %threads) nounwind noinline {{
entry:
  %alone = icmp eq i64 %threads, 1
  br i1 %alone, label %passed, label %arrive
arrive:
  %own.skip = mul i64 %thread, {SLOT_BYTES}
  %own.offset = add i64 %own.skip, {_ARRIVED}
  %own.at = getelementptr inbounds i8, ptr %barrier, i64 %own.offset
  %before = load atomic i64, ptr %own.at monotonic, align 8
  %round = add i64 %before, 1
  store atomic i64 %round, ptr %own.at release, align 8
  br label %meet
meet:
  %other = phi i64 [ 0, %arrive ], [ %following, %met ]
  %all = icmp eq i64 %other, %threads
  br i1 %all, label %passed, label %await
await:
  %skip = mul i64 %other, {SLOT_BYTES}
  %offset = add i64 %skip, {_ARRIVED}
  %at = getelementptr inbounds i8, ptr %barrier, i64 %offset
  br label %wait
wait:
  %looks = phi i64 [ 0, %await ], [ %more, %again ]
  %now = load atomic i64, ptr %at acquire, align 8
  %waiting = icmp slt i64 %now, %round
  br i1 %waiting, label %check, label %met
check:
  %left = load atomic i64, ptr %barrier acquire, align 8
  %gone = icmp ne i64 %left, 0
  br i1 %gone, label %broken, label %pause
pause:
{_pause(target)}
  %patient = icmp ult i64 %looks, {SPINS}
  br i1 %patient, label %again, label %yield
yield:
  %ignored = call i32 @sched_yield()
  br label %again
again:
  %more = add i64 %looks, 1
  br label %wait
met:
  %following = add i64 %other, 1
  br label %meet
passed:
  ret i1 false
broken:
  ret i1 true
}}
"""


def claim_text() -> str:
    """`i64 rnncc.claim(ptr, i64 thread, i64 threads, i64 share, i64 turns, i64 done)`: which turn of a share is next.

    It is `turns` when nothing is left. A counter says how many turns of a share are left, and is 0 or less between
    loops. The thread that begins with the share sets it, and keeps the first turn, so that the line of the counter is
    there when it is needed. On that line others look next whether the thread has arrived: they fetch it only once. A
    thread that is alone needs no counter: it is told how many turns it has `done`.
    """
    numbers = "i64 %thread, i64 %threads, i64 %share, i64 %turns, i64 %done"
    return f"""
define internal i64 @"rnncc.claim"(ptr %barrier, {numbers}) nounwind {{
entry:
  %alone = icmp eq i64 %threads, 1
  br i1 %alone, label %own, label %claim
own:
  ret i64 %done
claim:
  %skip = mul i64 %share, {SLOT_BYTES}
  %offset = add i64 %skip, {_UNCLAIMED}
  %at = getelementptr inbounds i8, ptr %barrier, i64 %offset
  %is.own = icmp eq i64 %share, %thread
  %is.first = icmp eq i64 %done, 0
  %is.start = and i1 %is.own, %is.first
  br i1 %is.start, label %start, label %look
start:
  %others = sub i64 %turns, 1
  store atomic i64 %others, ptr %at monotonic, align 8
  ret i64 0
look:
  %left = load atomic i64, ptr %at monotonic, align 8
  %some = icmp sgt i64 %left, 0
  br i1 %some, label %take, label %none
take:
  %taken = atomicrmw sub ptr %at, i64 1 monotonic, align 8
  %got = icmp sgt i64 %taken, 0
  %turn = sub i64 %turns, %taken
  br i1 %got, label %mine, label %none
mine:
  ret i64 %turn
none:
  ret i64 %turns
}}
"""


def leave_text() -> str:
    """`void rnncc.leave(ptr barrier)`: nobody waits for this thread any more."""
    return """
define internal void @"rnncc.leave"(ptr %barrier) nounwind {
  store atomic i64 1, ptr %barrier release, align 8
  ret void
}
"""


def team_text(target: Target) -> str:
    """The two functions that `runtime.threads` calls: `rnncc.worker` and `rnncc.team`."""
    f = FIELDS
    result = f["job"] + 8 * (len(JOB) + 1)
    return f"""
define ptr @"rnncc.worker"(ptr %slot) nounwind {{
entry:
  %wanted.at = getelementptr inbounds i8, ptr %slot, i64 {f["wanted"]}
  %finished.at = getelementptr inbounds i8, ptr %slot, i64 {f["finished"]}
  %sleeping.at = getelementptr inbounds i8, ptr %slot, i64 {f["sleeping"]}
  %mutex = getelementptr inbounds i8, ptr %slot, i64 {f["mutex"]}
  %condition = getelementptr inbounds i8, ptr %slot, i64 {f["condition"]}
  br label %idle
idle:
  %seen = phi i64 [ 0, %entry ], [ %number, %work ]
  br label %look
look:
  %looks = phi i64 [ 0, %idle ], [ %more, %pause ]
  %now = load atomic i64, ptr %wanted.at seq_cst, align 8
  %new = icmp ne i64 %now, %seen
  br i1 %new, label %begin, label %patience
patience:
  %patient = icmp ult i64 %looks, {SPINS}
  br i1 %patient, label %pause, label %lie.down
pause:
{_pause(target)}
  %more = add i64 %looks, 1
  br label %look
lie.down:
  %locked = call i32 @pthread_mutex_lock(ptr %mutex)
  store atomic i64 1, ptr %sleeping.at seq_cst, align 8
  br label %asleep
asleep:
  %late = load atomic i64, ptr %wanted.at seq_cst, align 8
  %woken = icmp ne i64 %late, %seen
  br i1 %woken, label %get.up, label %sleep
sleep:
  %slept = call i32 @pthread_cond_wait(ptr %condition, ptr %mutex)
  br label %asleep
get.up:
  store atomic i64 0, ptr %sleeping.at seq_cst, align 8
  %unlocked = call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %begin
begin:
  %number = phi i64 [ %now, %look ], [ %late, %get.up ]
{_job("%slot", f["job"])}
  %over = icmp eq ptr %function, null
  br i1 %over, label %end, label %work
work:
  %code = call i32 %function(ptr %pointers, ptr %dims, ptr %status, i64 %thread, i64 %threads, ptr %barrier)
  %result = sext i32 %code to i64
  %result.at = getelementptr inbounds i8, ptr %slot, i64 {result}
  store i64 %result, ptr %result.at
  store atomic i64 %number, ptr %finished.at release, align 8
  br label %idle
end:
  store atomic i64 %number, ptr %finished.at release, align 8
  ret ptr null
}}

define i64 @"rnncc.team"(ptr %team, i64 %workers, ptr %own) nounwind {{
entry:
  %broken = load i64, ptr %team
  %whole = icmp eq i64 %broken, 0
  br i1 %whole, label %call, label %mend
mend:
  %thread.m = phi i64 [ 0, %entry ], [ %next.m, %mend ]
  %skip.m = mul i64 %thread.m, {SLOT_BYTES}
  %offset.m = add i64 %skip.m, {_ARRIVED}
  %arrived.at = getelementptr inbounds i8, ptr %team, i64 %offset.m
  store i64 0, ptr %arrived.at
  %count.m = add i64 %skip.m, {_UNCLAIMED}
  %unclaimed.at = getelementptr inbounds i8, ptr %team, i64 %count.m
  store i64 0, ptr %unclaimed.at
  store i64 0, ptr %team
  %next.m = add i64 %thread.m, 1
  %unmended = icmp ule i64 %next.m, %workers
  br i1 %unmended, label %mend, label %call
call:
  %number = phi i64 [ 0, %entry ], [ 0, %mend ], [ %following, %called ]
  %some = icmp ult i64 %number, %workers
  br i1 %some, label %hand, label %own.part
hand:
  %skip = mul i64 %number, {SLOT_BYTES}
  %offset = add i64 %skip, {BARRIER_BYTES}
  %slot = getelementptr inbounds i8, ptr %team, i64 %offset
  %wanted.at = getelementptr inbounds i8, ptr %slot, i64 {f["wanted"]}
  %wanted = load i64, ptr %wanted.at
  %new = add i64 %wanted, 1
  store atomic i64 %new, ptr %wanted.at seq_cst, align 8
  %sleeping.at = getelementptr inbounds i8, ptr %slot, i64 {f["sleeping"]}
  %sleeping = load atomic i64, ptr %sleeping.at seq_cst, align 8
  %asleep = icmp ne i64 %sleeping, 0
  br i1 %asleep, label %wake, label %called
wake:
  %mutex = getelementptr inbounds i8, ptr %slot, i64 {f["mutex"]}
  %condition = getelementptr inbounds i8, ptr %slot, i64 {f["condition"]}
  %locked = call i32 @pthread_mutex_lock(ptr %mutex)
  %signalled = call i32 @pthread_cond_signal(ptr %condition)
  %unlocked = call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %called
called:
  %following = add i64 %number, 1
  br label %call
own.part:
{_job("%own", 0)}
  %over = icmp eq ptr %function, null
  br i1 %over, label %gather, label %work
work:
  %code = call i32 %function(ptr %pointers, ptr %dims, ptr %status, i64 %thread, i64 %threads, ptr %barrier)
  %first = sext i32 %code to i64
  br label %gather
gather:
  %result = phi i64 [ 0, %own.part ], [ %first, %work ], [ %worse, %gathered ]
  %from = phi i64 [ 0, %own.part ], [ 0, %work ], [ %from.next, %gathered ]
  %left = icmp ult i64 %from, %workers
  br i1 %left, label %await, label %done
await:
  %skip.2 = mul i64 %from, {SLOT_BYTES}
  %offset.2 = add i64 %skip.2, {BARRIER_BYTES}
  %slot.2 = getelementptr inbounds i8, ptr %team, i64 %offset.2
  %wanted.at.2 = getelementptr inbounds i8, ptr %slot.2, i64 {f["wanted"]}
  %wanted.2 = load i64, ptr %wanted.at.2
  %finished.at = getelementptr inbounds i8, ptr %slot.2, i64 {f["finished"]}
  br label %look
look:
  %looks = phi i64 [ 0, %await ], [ %more, %again ]
  %finished = load atomic i64, ptr %finished.at acquire, align 8
  %ready = icmp eq i64 %finished, %wanted.2
  br i1 %ready, label %gathered, label %pause
pause:
{_pause(target)}
  %patient = icmp ult i64 %looks, {SPINS}
  br i1 %patient, label %again, label %yield
yield:
  %ignored = call i32 @sched_yield()
  br label %again
again:
  %more = add i64 %looks, 1
  br label %look
gathered:
  %its.at = getelementptr inbounds i8, ptr %slot.2, i64 {result}
  %its = load i64, ptr %its.at
  %from.next = add i64 %from, 1
  %failed = icmp sgt i64 %its, 0
  %fine = icmp sle i64 %result, 0
  %takes = and i1 %failed, %fine
  %place = shl i64 %from.next, 32
  %named = or i64 %its, %place
  %worse = select i1 %takes, i64 %named, i64 %result
  br label %gather
done:
  ret i64 %result
}}
"""


def declarations(target: Target) -> str:
    """What the functions of this file call."""
    pause = "declare void @llvm.x86.sse2.pause()" if target.is_x86 else "declare void @llvm.aarch64.hint(i32)"
    return f"""{pause}
declare i32 @sched_yield()
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_signal(ptr)
"""


def _job(slot: str, offset: int) -> str:
    """Load the words of a job, under their names."""
    words = {**JOB, "barrier": "ptr"}
    return "\n".join(
        f"  %{name}.at = getelementptr inbounds i8, ptr {slot}, i64 {offset + 8 * number}\n"
        f"  %{name} = load {kind}, ptr %{name}.at"
        for number, (name, kind) in enumerate(words.items())
    )


def _pause(target: Target) -> str:
    return "  call void @llvm.x86.sse2.pause()" if target.is_x86 else "  call void @llvm.aarch64.hint(i32 1)"
