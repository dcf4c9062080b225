/* Memory files and mappings. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, HUGE_PAGE = 2 << 20 };

static int64_t round_up(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

shm_layout shm_layout_of(int32_t world_size, int64_t segment_bytes) {
    shm_layout layout = {.slot_bytes = round_up(2 * segment_bytes, SHM_SLOT_ALIGNMENT)};
    layout.ranks_at = round_up((int64_t)sizeof(shm_control), SHM_SLOT_ALIGNMENT);
    layout.slots_at = round_up(layout.ranks_at + world_size * (int64_t)sizeof(shm_rank), SHM_SLOT_ALIGNMENT);
    layout.channels_at = layout.slots_at + 2 * world_size * layout.slot_bytes;
    layout.bytes = layout.channels_at + (int64_t)world_size * world_size * (int64_t)sizeof(shm_channel);
    return layout;
}

/* Beyond the limit of file sizes, which holds for memory files too, the kernel would send a signal (SIGXFSZ). */
static bool is_allowed(int64_t bytes) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || (rlim_t)bytes <= limit.rlim_cur) return true;
    errno = EFBIG;
    return false;
}

int shm_memory_file(int64_t bytes, char *text, size_t text_bytes) {
    int file = memfd_create("disttrain", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (file < 0 && errno == EINVAL) file = memfd_create("disttrain", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (file >= 0 && is_allowed(bytes) && ftruncate(file, bytes) == 0 && fcntl(file, F_ADD_SEALS, SEALS) == 0) return file;
    snprintf(text, text_bytes, "cannot make a memory file of %lld bytes: %s", (long long)bytes, strerror(errno));
    if (file >= 0) close(file);
    return -1;
}

/* A file from a peer: of the size that was agreed, and sealed, so that it cannot shrink under us (SIGBUS). */
static bool trusted(int file, int64_t bytes) {
    struct stat status;
    int seals = fcntl(file, F_GET_SEALS);
    return fstat(file, &status) == 0 && status.st_size == bytes && seals >= 0 && (seals & SEALS) == SEALS;
}

dt_status shm_map(int file, int64_t bytes, uint32_t flags, shm_mapping **mapping, char *text, size_t text_bytes) {
    if (!trusted(file, bytes)) {
        snprintf(text, text_bytes, "the memory file from rank 0 is not a sealed file of %lld bytes", (long long)bytes);
        return DT_REFUSED;
    }
    /* Address space first, so that the mapping can begin at a multiple of a huge page. */
    char *space = mmap(NULL, (size_t)bytes + HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    shm_mapping *made = malloc(sizeof *made);
    char *base = NULL;
    if (space != MAP_FAILED) {
        base = (char *)round_up((int64_t)(intptr_t)space, HUGE_PAGE);
        char *end = base + round_up(bytes, SHM_SLOT_ALIGNMENT), *space_end = space + round_up(bytes + HUGE_PAGE, SHM_SLOT_ALIGNMENT);
        if (base > space) munmap(space, (size_t)(base - space));
        if (end < space_end) munmap(end, (size_t)(space_end - end));
        if (mmap(base, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) == MAP_FAILED) {
            munmap(base, (size_t)(end - base));
            base = NULL;
        }
    }
    if (!base || !made) {
        snprintf(text, text_bytes, "cannot map %lld bytes of shared memory: %s", (long long)bytes, strerror(errno));
        if (base) munmap(base, (size_t)bytes);
        free(made);
        return DT_OUT_OF_MEMORY;
    }
    madvise(base, (size_t)bytes, MADV_DONTFORK);
    if (flags & DT_HUGE_PAGES) madvise(base, (size_t)bytes, MADV_HUGEPAGE);
    *made = (shm_mapping){.owners = 1, .base = base, .bytes = bytes};
    *mapping = made;
    return DT_OK;
}

static pthread_mutex_t sharing = PTHREAD_MUTEX_INITIALIZER; /* guards the list and all owners */
static shm_mapping *shared;
static uint64_t numbers;

uint64_t shm_share(shm_mapping *mapping) {
    pthread_mutex_lock(&sharing);
    mapping->number = ++numbers;
    mapping->next = shared;
    shared = mapping;
    pthread_mutex_unlock(&sharing);
    return mapping->number;
}

shm_mapping *shm_take(uint64_t number) {
    pthread_mutex_lock(&sharing);
    shm_mapping *found = shared;
    while (found && found->number != number) found = found->next;
    if (found) found->owners++;
    pthread_mutex_unlock(&sharing);
    return found;
}

void shm_forget_shared(void) {
    pthread_mutex_init(&sharing, NULL);
    shared = NULL;
}

void shm_unmap(shm_mapping *mapping) {
    if (!mapping) return;
    pthread_mutex_lock(&sharing);
    bool last = --mapping->owners == 0;
    for (shm_mapping **at = &shared; last && *at; at = &(*at)->next)
        if (*at == mapping) {
            *at = mapping->next;
            break;
        }
    pthread_mutex_unlock(&sharing);
    if (!last) return;
    munmap(mapping->base, (size_t)mapping->bytes);
    free(mapping);
}

/* Makes pages now, in this rank's name, where the kernel can; otherwise they come as they are touched. */
void shm_populate(void *from, int64_t bytes) { madvise(from, (size_t)bytes, MADV_POPULATE_WRITE); }
