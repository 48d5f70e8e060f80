/* The team: our own threads, which spin for a moment after work and then sleep. */
#ifndef DL_TEAM_H
#define DL_TEAM_H
#include "dl.h"

enum { DL_MAX_THREADS = 64 };

typedef void (*TeamWork)(void *arg, const Team *team);

/* Runs work on up to nt threads, the caller being tid 0, and returns when all are done. Where another thread has the
 * team at this moment, the caller works alone. */
void team_run(int nt, TeamWork work, void *arg);

/* whether a call of the team would find it spinning, not asleep */
int team_awake(void);
int team_cores(void); /* cores this process may run on */
void team_init(void); /* once, when the module is loaded; starts no thread */

/* how many forks lie between the first process and this one */
unsigned long team_forks(void);

/* The calling thread's scratch: 64-byte aligned, grows and is freed when the thread ends; NULL: out of memory */
void *team_scratch(size_t bytes);
void scratch_init(void); /* once, when the module is loaded */
#endif
