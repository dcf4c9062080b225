#include "socket.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool socket_address(const char *text, struct sockaddr_un *address, socklen_t *bytes) {
    size_t length = strlen(text);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (length < 1 || length >= sizeof address->sun_path || (text[0] != '@' && text[0] != '/')) return false;
    memcpy(address->sun_path, text, length);
    if (text[0] == '@') {
        address->sun_path[0] = 0;
        *bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
        if (length == 1) *bytes = sizeof(sa_family_t); /* autobind */
    } else {
        *bytes = sizeof *address;
    }
    return true;
}

/* A path is taken only in a directory that nobody else can write to. */
static bool private_directory(const char *path) {
    char directory[sizeof((struct sockaddr_un *)0)->sun_path];
    struct stat status;
    snprintf(directory, sizeof directory, "%s", path);
    char *slash = strrchr(directory, '/');
    slash[slash == directory ? 1 : 0] = 0;
    if (stat(directory, &status) != 0) return false;
    if (status.st_uid == geteuid() && !(status.st_mode & 022)) return true;
    errno = EPERM;
    return false;
}

int socket_listen(const char *text) {
    struct sockaddr_un address;
    socklen_t bytes;
    if (!socket_address(text, &address, &bytes)) {
        errno = EINVAL;
        return -1;
    }
    if (text[0] == '/' && !private_directory(text)) return -1;
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener < 0) return -1;
    int failed = bind(listener, (struct sockaddr *)&address, bytes);
    if (failed && errno == EADDRINUSE && text[0] == '/') { /* left by a process that was killed? */
        int living = socket_connect(text);
        if (living < 0 && errno == ECONNREFUSED && unlink(text) == 0)
            failed = bind(listener, (struct sockaddr *)&address, bytes);
        else
            errno = EADDRINUSE;
        if (living >= 0) close(living);
    }
    if (!failed && listen(listener, 1024) == 0) return listener;
    int why = errno;
    close(listener);
    errno = why;
    return -1;
}

bool socket_name(int listener, char *text, size_t bytes) {
    struct sockaddr_un address;
    socklen_t length = sizeof address;
    if (getsockname(listener, (struct sockaddr *)&address, &length) != 0) return false;
    size_t name = length - offsetof(struct sockaddr_un, sun_path);
    if (length <= sizeof(sa_family_t) || name + 1 > bytes) return false;
    memcpy(text, address.sun_path, name);
    text[0] = '@';
    text[name] = 0;
    return true;
}

int socket_connect(const char *text) {
    struct sockaddr_un address;
    socklen_t bytes;
    if (!socket_address(text, &address, &bytes)) {
        errno = EINVAL;
        return -1;
    }
    int link = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (link < 0) return -1;
    if (connect(link, (struct sockaddr *)&address, bytes) == 0) return link;
    int why = errno;
    close(link);
    errno = why;
    return -1;
}

bool socket_send(int link, const void *message, size_t bytes, int file) {
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {.iov_base = (void *)(uintptr_t)message, .iov_len = bytes};
    struct msghdr whole = {.msg_iov = &part, .msg_iovlen = 1};
    if (file >= 0) {
        memset(&control, 0, sizeof control);
        whole.msg_control = &control;
        whole.msg_controllen = sizeof control;
        struct cmsghdr *header = CMSG_FIRSTHDR(&whole);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &file, sizeof file);
    }
    ssize_t sent;
    do sent = sendmsg(link, &whole, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)bytes;
}

/* Takes the file of a message, closes any that were not asked for. */
static void take_files(struct msghdr *whole, int *file) {
    for (struct cmsghdr *header = CMSG_FIRSTHDR(whole); header; header = CMSG_NXTHDR(whole, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int one;
            memcpy(&one, CMSG_DATA(header) + i * sizeof(int), sizeof one);
            if (file && *file < 0)
                *file = one;
            else
                close(one);
        }
    }
}

int socket_receive(int link, void *message, size_t bytes, int *file, int wait_ms) {
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(4 * sizeof(int))];
    } control;
    struct pollfd ready = {.fd = link, .events = POLLIN};
    struct iovec part = {.iov_base = message, .iov_len = bytes};
    struct msghdr whole = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    if (file) *file = -1;
    if (wait_ms > 0 && poll(&ready, 1, wait_ms) <= 0) return 0;
    ssize_t got = recvmsg(link, &whole, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
    take_files(&whole, file);
    if (got == (ssize_t)bytes && !(whole.msg_flags & MSG_TRUNC)) return 1;
    if (file && *file >= 0) {
        close(*file);
        *file = -1;
    }
    return -1;
}

bool socket_peer(int link, int32_t *pid, uint32_t *user) {
    struct ucred peer;
    socklen_t bytes = sizeof peer;
    if (getsockopt(link, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0) return false;
    *pid = peer.pid;
    *user = peer.uid;
    return true;
}
