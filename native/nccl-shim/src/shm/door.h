/* What ranks say to each other when they meet, and rank 0's side of it. */
#ifndef DT_SHM_DOOR_H
#define DT_SHM_DOOR_H

#include "shm.h"

#define HELLO_MAGIC 0x4F4C4C4548545244ull   /* "DRTHELLO" */
#define WELCOME_MAGIC 0x454D4F434C455744ull /* "DWELCOME" */

enum { STRANGERS_MAX = 256, POLL_MS = 50 };

typedef struct hello {
    uint64_t magic;
    int32_t version, rank, world_size;
    uint32_t secret_bytes;
    unsigned char secret[DT_SECRET_BYTES_MAX];
} hello;

typedef struct welcome {
    uint64_t magic;
    dt_status status;
    int32_t same_process;
    int64_t segment_bytes, bytes;
    uint64_t mapping; /* same_process: the number of rank 0's */
    char text[256];
} welcome;

/* Someone who has connected but not yet said anything. */
typedef struct stranger {
    int link;
    int64_t since_ms;
} stranger;

typedef struct door {
    const dt_options *options;
    shm *self, *parent;
    int listener;
    int64_t deadline_ms;
    int32_t *pids, joined; /* pids of those who came, also if they have gone again */
    stranger strangers[STRANGERS_MAX];
    int32_t stranger_count, refused;
    int why_shut; /* errno of the last attempt to let somebody in, 0: it worked */
    char *text;
    size_t text_bytes;
} door;

static inline int64_t now_ms(void) { return nanoseconds_now() / 1000000; }

/* Rank 0: waits until all are there, then welcomes them. */
dt_status door_host(door *at);
/* Makes the memory and sends it to all who have come. */
dt_status door_welcome_all(door *at);

#endif
