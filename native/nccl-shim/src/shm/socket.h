/* Unix sockets that carry whole messages and files. */
#ifndef DT_SHM_SOCKET_H
#define DT_SHM_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/* "@name": abstract. Anything else: an absolute path. False: too long or neither. */
bool socket_address(const char *text, struct sockaddr_un *address, socklen_t *bytes);
/* A listening socket, or -1 with errno. address "@": a name that the kernel picks. */
int socket_listen(const char *address);
/* The name of a socket from socket_listen("@"), as "@name". */
bool socket_name(int listener, char *text, size_t bytes);
int socket_connect(const char *address); /* -1 with errno */
/* One message; file < 0: none goes along. */
bool socket_send(int link, const void *message, size_t bytes, int file);
/* One whole message of exactly these bytes; 0: not there yet (or none within wait_ms), -1: closed or malformed. *file: the one that came, or -1. */
int socket_receive(int link, void *message, size_t bytes, int *file, int wait_ms);
/* Who is at the other end. */
bool socket_peer(int link, int32_t *pid, uint32_t *user);

#endif
