/* What this machine can move at most: the loops of limit.py, without Python in between. */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum { BATCH = 64, PIECE = 65507, SEGMENTS = 64 };

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

/* Send datagrams of `size` bytes from a connected socket for `seconds`; how many, or -1. */
long push(int fd, int size, int cut, double seconds)
{
    static char space[PIECE];
    int at_once = cut ? (PIECE / size < SEGMENTS ? PIECE / size : SEGMENTS) : 1;
    struct iovec data = {space, (size_t)size * at_once};
    char control[CMSG_SPACE(sizeof(unsigned short))] = {0};
    struct mmsghdr batch[BATCH];
    memset(batch, 0, sizeof batch);
    memset(space, '.', sizeof space);
    for (int i = 0; i < BATCH; i++) {
        struct msghdr *header = &batch[i].msg_hdr;
        header->msg_iov = &data;
        header->msg_iovlen = 1;
        if (cut) {
            header->msg_control = control;
            header->msg_controllen = sizeof control;
            struct cmsghdr *option = CMSG_FIRSTHDR(header);
            option->cmsg_level = IPPROTO_UDP;
            option->cmsg_type = UDP_SEGMENT;
            option->cmsg_len = CMSG_LEN(sizeof(unsigned short));
            *(unsigned short *)CMSG_DATA(option) = size;
        }
    }
    long sent = 0;
    for (double end = now() + seconds; now() < end;) {
        int done = sendmmsg(fd, batch, cut ? 1 : BATCH, 0);
        if (done < 0)
            return -1;
        sent += (long)done * at_once;
    }
    return sent;
}

/* Read for at most `seconds`; the bytes, and at `last` when the last of them came. */
long pull(int fd, double seconds, double *last)
{
    static char space[BATCH][PIECE + 1];
    struct iovec data[BATCH];
    struct mmsghdr batch[BATCH];
    memset(batch, 0, sizeof batch);
    for (int i = 0; i < BATCH; i++) {
        data[i] = (struct iovec){space[i], sizeof space[i]};
        batch[i].msg_hdr.msg_iov = &data[i];
        batch[i].msg_hdr.msg_iovlen = 1;
    }
    long bytes = 0;
    for (double end = now() + seconds; now() < end;) {
        int done = recvmmsg(fd, batch, BATCH, MSG_WAITFORONE, NULL); /* ends by SO_RCVTIMEO */
        for (int i = 0; i < done; i++)
            bytes += batch[i].msg_len;
        if (done > 0)
            *last = now();
    }
    return bytes;
}
