/* Scratch memory of a calling thread, which grows to what its largest call needs. */
#include <pthread.h>
#include <stdlib.h>

#include "team.h"

static pthread_key_t key;

void scratch_init(void) { pthread_key_create(&key, free); }

void *team_scratch(size_t bytes) {
  size_t *block = pthread_getspecific(key); /* the first 64 bytes hold the size */
  if (block && block[0] >= bytes) return block + 64 / sizeof *block;
  size_t size = (bytes + bytes / 4 + 4095) / 4096 * 4096;
  void *grown = NULL;
  if (posix_memalign(&grown, 64, 64 + size)) return NULL;
  free(block);
  block = grown;
  block[0] = size;
  pthread_setspecific(key, block);
  return block + 64 / sizeof *block;
}
