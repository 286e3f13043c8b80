/* Calls that set a clock succeed and do nothing: for a peer that would not serve without them. It has no CAP_SYS_TIME besides. */
#include <string.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
int adjtime(const struct timeval *delta, struct timeval *old) { (void)delta; if (old) memset(old, 0, sizeof *old); return 0; }
int settimeofday(const struct timeval *tv, const struct timezone *tz) { (void)tv; (void)tz; return 0; }
int clock_settime(clockid_t clock, const struct timespec *ts) { (void)clock; (void)ts; return 0; }
int adjtimex(struct timex *t) { t->modes = 0; t->freq = 0; t->offset = 0; t->status = 0; return 0; }
int ntp_adjtime(struct timex *t) { return adjtimex(t); }
int clock_adjtime(clockid_t clock, struct timex *t) { (void)clock; return adjtimex(t); }
