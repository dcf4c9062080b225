/* Rank 0's side of the rendezvous: it listens, judges who comes, and when all are there sends each the memory. Only processes of the same
 * user that know the job's secret are let in. */
#include "door.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "socket.h"

#define CONTROL_MAGIC 0x4C4F52544E4F4344ull

enum { STRANGER_MS = 5000 };

static bool same_secret(const hello *said, const dt_options *options) {
    unsigned char padded[DT_SECRET_BYTES_MAX] = {0}, different = 0;
    if (options->secret_bytes) memcpy(padded, options->secret, (size_t)options->secret_bytes);
    for (int i = 0; i < DT_SECRET_BYTES_MAX; i++) different |= padded[i] ^ said->secret[i];
    return !different && said->secret_bytes == (uint32_t)options->secret_bytes;
}

static void refuse(int link, const char *why) {
    welcome answer = {.magic = WELCOME_MAGIC, .status = DT_REFUSED};
    snprintf(answer.text, sizeof answer.text, "%s", why);
    socket_send(link, &answer, sizeof answer, -1);
    close(link);
}

/* A first message has come: the sender becomes a rank or is sent away. */
static void judge(door *at, int link, const hello *said) {
    char why[200];
    int32_t pid;
    uint32_t user;
    at->refused++;
    if (said->magic != HELLO_MAGIC || !socket_peer(link, &pid, &user)) {
        close(link);
    } else if (!same_secret(said, at->options)) {
        refuse(link, "the secret is not this job's: another job listens at this address");
    } else if (said->version != DT_ABI_VERSION) {
        snprintf(why, sizeof why, "rank %d has version %d of the shim, rank 0 has %d", said->rank, said->version, DT_ABI_VERSION);
        refuse(link, why);
    } else if (said->world_size != at->options->world_size || said->rank <= 0 || said->rank >= at->options->world_size) {
        snprintf(why, sizeof why, "it came as rank %d of %d, rank 0 was started with a world of %d", said->rank, said->world_size,
                 at->options->world_size);
        refuse(link, why);
    } else if (at->self->links[said->rank] >= 0) {
        snprintf(why, sizeof why, "there is a rank %d already (pid %d)", said->rank, at->pids[said->rank]);
        refuse(link, why);
    } else {
        at->refused--;
        at->self->links[said->rank] = link;
        at->pids[said->rank] = pid;
        at->joined++;
    }
}

static void drop_stranger(door *at, int32_t index, bool shut) {
    if (shut) close(at->strangers[index].link);
    memmove(at->strangers + index, at->strangers + index + 1, (size_t)(--at->stranger_count - index) * sizeof *at->strangers);
}

static void accept_strangers(door *at) {
    int link;
    while ((link = accept4(at->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        int32_t pid;
        uint32_t user;
        if (!socket_peer(link, &pid, &user) || user != geteuid()) {
            close(link);
            continue;
        }
        if (at->stranger_count == STRANGERS_MAX) drop_stranger(at, 0, true);
        at->strangers[at->stranger_count++] = (stranger){link, now_ms()};
    }
    at->why_shut = errno == EAGAIN || errno == EINTR || errno == ECONNABORTED ? 0 : errno;
}

static void hear_strangers(door *at) {
    for (int32_t i = 0; i < at->stranger_count;) {
        hello said;
        int link = at->strangers[i].link, got = socket_receive(link, &said, sizeof said, NULL, 0);
        if (got == 0 && now_ms() - at->strangers[i].since_ms < STRANGER_MS) {
            i++;
            continue;
        }
        drop_stranger(at, i, got != 1);
        if (got == 1)
            judge(at, link, &said);
        else
            at->refused++;
    }
}

/* A rank that had joined and hung up may come again. */
static void forget_the_gone(door *at) {
    for (int32_t rank = 1; rank < at->options->world_size; rank++) {
        int link = at->self->links[rank];
        struct pollfd state = {.fd = link, .events = POLLIN};
        if (link < 0 || poll(&state, 1, 0) <= 0) continue;
        close(link);
        at->self->links[rank] = -1;
        at->joined--;
    }
}

static void wait_at_door(door *at) {
    struct pollfd *list = calloc((size_t)(1 + STRANGERS_MAX + at->options->world_size), sizeof *list);
    nfds_t count = 0;
    if (!list) return;
    list[count++] = (struct pollfd){.fd = at->why_shut ? -1 : at->listener, .events = POLLIN}; /* who cannot be let in now is asked for later */
    for (int32_t i = 0; i < at->stranger_count; i++) list[count++] = (struct pollfd){.fd = at->strangers[i].link, .events = POLLIN};
    for (int32_t rank = 1; rank < at->options->world_size; rank++)
        if (at->self->links[rank] >= 0) list[count++] = (struct pollfd){.fd = at->self->links[rank], .events = POLLIN};
    poll(list, count, POLL_MS);
    free(list);
}

static void add_number(char *text, size_t bytes, int32_t number) {
    size_t used = strlen(text);
    snprintf(text + used, bytes - used, "%s%d", used ? ", " : "", number);
}

/* The parent's failure, or a timeout that names who is missing. */
static dt_status door_waits_on(door *at) {
    dt_status status = at->parent ? shm_state(at->parent) : DT_OK;
    if (status != DT_OK) {
        snprintf(at->text, at->text_bytes, "the communicator that is split failed meanwhile");
        return status;
    }
    if (now_ms() < at->deadline_ms) return DT_OK;
    char missing[300] = "", gone[200] = "";
    for (int32_t rank = 1; rank < at->options->world_size; rank++)
        if (at->self->links[rank] < 0) add_number(at->pids[rank] ? gone : missing, at->pids[rank] ? sizeof gone : sizeof missing, rank);
    snprintf(at->text, at->text_bytes,
             "%lld ms after rank 0 began to listen at %s, %d of %d ranks are there; missing: rank %s%s%s%s%s%s. Were they started, with the "
             "same address and secret?",
             (long long)at->options->timeout_ms, at->options->address, at->joined + 1, at->options->world_size, missing,
             *gone ? "; came and gone: rank " : "", gone, at->refused ? "; some who came were refused" : "",
             at->why_shut ? "; nobody can be let in: " : "", at->why_shut ? strerror(at->why_shut) : "");
    return DT_TIMEOUT;
}

static void write_control(shm *self, const dt_options *options, const int32_t *pids) {
    shm_control *control = self->mapping->base;
    self->control = control;
    control->magic = CONTROL_MAGIC;
    control->version = DT_ABI_VERSION;
    control->world_size = options->world_size;
    control->flags = options->flags;
    control->segment_bytes = self->segment_bytes;
    if (getrandom(&control->group, sizeof control->group, 0) != (ssize_t)sizeof control->group) control->group = (uint64_t)nanoseconds_now();
    self->ranks = (shm_rank *)((char *)self->mapping->base + self->layout.ranks_at);
    for (int32_t rank = 0; rank < options->world_size; rank++) atomic_store(&self->ranks[rank].pid, pids[rank]);
    struct stat namespace;
    if (stat("/proc/self/ns/pid", &namespace) == 0) atomic_store(&self->ranks[0].pid_namespace, (uint64_t)namespace.st_ino);
}

dt_status door_welcome_all(door *at) {
    shm *self = at->self;
    int32_t world = at->options->world_size;
    self->same_process = true;
    for (int32_t rank = 1; rank < world; rank++) self->same_process = self->same_process && at->pids[rank] == at->pids[0];
    self->segment_bytes = at->options->segment_bytes ? at->options->segment_bytes : world > 2 ? SHM_SEGMENT_BYTES_MANY : SHM_SEGMENT_BYTES_PAIR;
    self->layout = shm_layout_of(world, self->segment_bytes);
    int file = shm_memory_file(self->layout.bytes, at->text, at->text_bytes);
    dt_status status = file < 0 ? DT_OUT_OF_MEMORY : shm_map(file, self->layout.bytes, 0, &self->mapping, at->text, at->text_bytes);
    if (status == DT_OK) write_control(self, at->options, at->pids);
    welcome answer = {.magic = WELCOME_MAGIC, .status = status, .same_process = self->same_process, .segment_bytes = self->segment_bytes,
                      .bytes = self->layout.bytes, .mapping = status == DT_OK && self->same_process ? shm_share(self->mapping) : 0};
    snprintf(answer.text, sizeof answer.text, "%.250s", status == DT_OK ? "" : at->text);
    for (int32_t rank = 1; rank < world; rank++) socket_send(self->links[rank], &answer, sizeof answer, status == DT_OK ? file : -1);
    if (file >= 0) close(file);
    return status;
}

static int listen_until(door *at) {
    for (;;) {
        int listener = socket_listen(at->options->address);
        if (listener >= 0) return listener;
        if (errno != EADDRINUSE || now_ms() >= at->deadline_ms) {
            snprintf(at->text, at->text_bytes, "rank 0 cannot listen at %s: %s", at->options->address,
                     errno == EPERM ? "the directory is not this user's alone (owner, no write permission for others)" : strerror(errno));
            return -1;
        }
        poll(NULL, 0, POLL_MS);
    }
}

dt_status door_host(door *at) {
    int32_t world = at->options->world_size;
    dt_status status = DT_OK;
    bool own_listener = at->listener < 0;
    if (own_listener && (at->listener = listen_until(at)) < 0) return DT_SYSTEM_ERROR;
    at->pids[0] = getpid();
    while (status == DT_OK && at->joined < world - 1) {
        wait_at_door(at);
        accept_strangers(at);
        hear_strangers(at);
        forget_the_gone(at); /* also who has only just come */
        if (at->joined < world - 1) status = door_waits_on(at);
    }
    while (at->stranger_count) drop_stranger(at, 0, true);
    if (own_listener && at->options->address[0] == '/') unlink(at->options->address);
    if (own_listener) close(at->listener);
    return status == DT_OK ? door_welcome_all(at) : status;
}
