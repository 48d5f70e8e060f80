/* Threads sit on seats. A seat is called to a job by its number `go`; inside a job, threads meet in a dissemination
 * barrier (Hensgen, Finkel, Manber 1988): in round r thread i signals thread i + 2^r and waits for i - 2^r. With two
 * threads that is one store and one load each. Every wait spins first and then sleeps on the seat's own condition.
 *
 * Where other processes want the cores too, the scheduler may put two of our threads on one core, and then spinning is
 * the one thing that keeps the other from coming. So every seat shows its core: who waits for a thread of its own core
 * sleeps at once, and after such a job the caller works alone for a while (the results are the same). */
#ifdef __linux__
#define _GNU_SOURCE
#endif
#include "team.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 6, STACK_BYTES = 4 << 20 };
enum { IDLE_SPIN_NS = 40000, BARRIER_SPIN_NS = 100000, SLOW_WAKE_NS = 500000 };
enum { BACKOFF_NS = 200000, LONGEST_BACKOFF_NS = 10000000 };

typedef struct {
  _Alignas(128) _Atomic uint32_t go; /* the last job this seat was called to */
  _Atomic uint32_t left;             /* the last job it has left */
  _Atomic uint32_t signal[ROUNDS];
  _Atomic int asleep;
  _Atomic int core; /* where it was last seen running; -1: asleep or unknown */
  uint32_t first;   /* the job: barriers passed before it, threads, work; one cache line with go */
  int nt;
  TeamWork work;
  void *arg;
  _Alignas(128) uint32_t epoch; /* barriers passed; only its own thread touches it */
  int kept_off;                 /* 1 + the core it may not run on; 0: any */
  pthread_t thread;
  pthread_mutex_t mutex;
  pthread_cond_t wake;
} Seat;

struct Barrier {
  Seat seat[DL_MAX_THREADS];
};

static struct {
  struct Barrier barrier;
  pthread_mutex_t busy; /* held by the thread that is tid 0 */
  int started;          /* seats 1..started have a thread */
  int nt;               /* of the last job */
  _Atomic int crowded;     /* in this job a thread waited for one of its own core */
  _Atomic int64_t backoff; /* how long the caller works alone after such a job, until when */
  _Atomic int64_t until;
} pool;

static unsigned long forks;

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb" ::: "memory");
#endif
}

static inline int reached(_Atomic uint32_t *word, uint32_t target) {
  return (int32_t)(atomic_load_explicit(word, memory_order_acquire) - target) >= 0;
}

static void notify(Seat *seat, _Atomic uint32_t *word, uint32_t value) {
  atomic_store(word, value);
  if (!atomic_load(&seat->asleep)) return;
  pthread_mutex_lock(&seat->mutex);
  pthread_cond_signal(&seat->wake);
  pthread_mutex_unlock(&seat->mutex);
}

static int here(void) {
#ifdef __linux__
  return sched_getcpu();
#else
  return -1;
#endif
}

static inline void show_core(Seat *seat) {
  int core = here();
  if (atomic_load_explicit(&seat->core, memory_order_relaxed) != core)
    atomic_store_explicit(&seat->core, core, memory_order_relaxed);
}

/* spins until the word, which the thread of the seat `by` sets, is reached: 0; or until that is in vain: -1 */
static int spin(_Atomic uint32_t *word, uint32_t target, Seat *by, int64_t spin_ns) {
  int64_t end = 0;
  for (;;) {
    for (int i = 0; i < 64; i++) {
      if (reached(word, target)) return 0;
      relax();
    }
    int core = atomic_load_explicit(&by->core, memory_order_relaxed);
    if (core >= 0 && core == here()) return -1;
    int64_t now = now_ns();
    if (end == 0) end = now + spin_ns;
    if (now >= end) return -1;
  }
}

static void sleep_until(Seat *me, _Atomic uint32_t *word, uint32_t target) {
  atomic_store_explicit(&me->core, -1, memory_order_relaxed);
  pthread_mutex_lock(&me->mutex);
  atomic_store(&me->asleep, 1);
  while (!reached(word, target)) pthread_cond_wait(&me->wake, &me->mutex);
  atomic_store(&me->asleep, 0);
  pthread_mutex_unlock(&me->mutex);
  show_core(me);
}

/* it is crowded where the other one has our core, or was asleep and gets none for long */
static void sleep_in_barrier(Seat *me, _Atomic uint32_t *word, uint32_t target, Seat *by) {
  int core = atomic_load_explicit(&by->core, memory_order_relaxed), crowded = core >= 0 && core == here();
  int64_t begin = now_ns();
  sleep_until(me, word, target);
  if (crowded || (core < 0 && now_ns() - begin > SLOW_WAKE_NS))
    atomic_store_explicit(&pool.crowded, 1, memory_order_relaxed);
}

void team_barrier(const Team *team) {
  if (team->nt == 1) return;
  Seat *seats = team->barrier->seat, *me = &seats[team->tid];
  uint32_t epoch = ++me->epoch;
  show_core(me);
  for (int round = 0, step = 1; step < team->nt; round++, step *= 2) {
    Seat *next = &seats[(team->tid + step) % team->nt], *last = &seats[(team->tid - step + team->nt) % team->nt];
    notify(next, &next->signal[round], epoch);
    if (spin(&me->signal[round], epoch, last, BARRIER_SPIN_NS)) sleep_in_barrier(me, &me->signal[round], epoch, last);
  }
}

/* the barrier at the end is what lets the caller change the job: no worker reads it after that */
static void work_on_job(int tid, int nt, TeamWork work, void *arg) {
  Team team = {tid, nt, &pool.barrier};
  work(arg, &team);
  team_barrier(&team);
}

static void *worker(void *arg) {
  int tid = (int)(intptr_t)arg;
  Seat *me = &pool.barrier.seat[tid];
  for (uint32_t job = 1;; job++) {
    if (spin(&me->go, job, &pool.barrier.seat[0], IDLE_SPIN_NS)) sleep_until(me, &me->go, job);
    me->epoch = me->first;
    work_on_job(tid, me->nt, me->work, me->arg);
    atomic_store_explicit(&me->left, job, memory_order_release);
  }
  return NULL;
}

/* workers take no signals: Ctrl-C belongs to Python's main thread */
static void start_workers(int wanted) {
  sigset_t all, before;
  pthread_attr_t attributes;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  while (pool.started < wanted) {
    Seat *seat = &pool.barrier.seat[pool.started + 1];
    if (pthread_create(&seat->thread, &attributes, worker, (void *)(intptr_t)(pool.started + 1))) break;
    pool.started++;
  }
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* after a crowded job, twice as long as after the one before it */
static void back_off(void) {
  int64_t backoff = 0;
  if (atomic_load_explicit(&pool.crowded, memory_order_relaxed)) {
    atomic_store_explicit(&pool.crowded, 0, memory_order_relaxed);
    backoff = 2 * atomic_load_explicit(&pool.backoff, memory_order_relaxed);
    if (backoff == 0) backoff = BACKOFF_NS;
    if (backoff > LONGEST_BACKOFF_NS) backoff = LONGEST_BACKOFF_NS;
    atomic_store_explicit(&pool.until, now_ns() + backoff, memory_order_relaxed);
  }
  if (backoff != atomic_load_explicit(&pool.backoff, memory_order_relaxed))
    atomic_store_explicit(&pool.backoff, backoff, memory_order_relaxed);
}

static int crowded(void) {
  return atomic_load_explicit(&pool.backoff, memory_order_relaxed) &&
         now_ns() < atomic_load_explicit(&pool.until, memory_order_relaxed);
}

/* The scheduler likes to wake a thread on the core of the one that wakes it, even when another core is idle; but the
 * caller is going to work and spin there. So a sleeping worker may wake on any core but the caller's. */
static void keep_off(Seat *seat, int core) {
#ifdef __linux__
  cpu_set_t cores;
  if (core < 0 || seat->kept_off == core + 1 || sched_getaffinity(0, sizeof cores, &cores)) return;
  CPU_CLR(core, &cores);
  if (CPU_COUNT(&cores) && pthread_setaffinity_np(seat->thread, sizeof cores, &cores) == 0) seat->kept_off = core + 1;
#else
  (void)seat, (void)core;
#endif
}

/* The caller leaves a job when all have come to its end, not when all have left: then a signal may still be on its way.
 * In a team of another size another thread sends that signal, and the late one must not overwrite it. */
static void change_size(int nt) {
  for (int i = 1; i < pool.nt; i++) {
    Seat *seat = &pool.barrier.seat[i];
    uint32_t job = atomic_load_explicit(&seat->go, memory_order_relaxed);
    while (!reached(&seat->left, job)) sched_yield();
  }
  pool.nt = nt;
}

static void run_job(int nt, TeamWork work, void *arg) {
  if (pool.started < nt - 1) start_workers(nt - 1);
  if (nt > pool.started + 1) nt = pool.started + 1;
  if (nt != pool.nt) change_size(nt);
  Seat *caller = &pool.barrier.seat[0];
  show_core(caller);
  int core = atomic_load_explicit(&caller->core, memory_order_relaxed);
  for (int i = 1; i < nt; i++) {
    Seat *seat = &pool.barrier.seat[i];
    seat->first = caller->epoch;
    seat->nt = nt;
    seat->work = work;
    seat->arg = arg;
    if (atomic_load_explicit(&seat->asleep, memory_order_relaxed)) keep_off(seat, core);
    notify(seat, &seat->go, atomic_load_explicit(&seat->go, memory_order_relaxed) + 1);
  }
  work_on_job(0, nt, work, arg);
  back_off();
}

void team_run(int nt, TeamWork work, void *arg) {
  if (nt > 1 && !crowded() && pthread_mutex_trylock(&pool.busy) == 0) {
    run_job(nt, work, arg);
    pthread_mutex_unlock(&pool.busy);
    return;
  }
  const Team alone = {0, 1, &pool.barrier};
  work(arg, &alone);
}

int team_awake(void) {
  return pool.started && !atomic_load_explicit(&pool.barrier.seat[1].asleep, memory_order_relaxed);
}

int team_cores(void) {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n < 1 ? 1 : (int)n;
}

static void reset_pool(void) {
  memset(&pool, 0, sizeof pool);
  pthread_mutex_init(&pool.busy, NULL);
  for (int i = 0; i < DL_MAX_THREADS; i++) {
    atomic_store(&pool.barrier.seat[i].core, -1);
    pthread_mutex_init(&pool.barrier.seat[i].mutex, NULL);
    pthread_cond_init(&pool.barrier.seat[i].wake, NULL);
  }
}

/* no worker lives on in the child, and any lock may have been held */
static void after_fork(void) {
  forks++;
  reset_pool();
}

unsigned long team_forks(void) { return forks; }

void team_init(void) {
  reset_pool();
  pthread_atfork(NULL, NULL, after_fork);
}
