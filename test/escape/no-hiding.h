/* Compiled into the agent of a control: without hiding itself and without no_new_privs. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sys/prctl.h>
#define prctl(option, ...) \
  ((option) == PR_SET_DUMPABLE || (option) == PR_SET_NO_NEW_PRIVS ? 0 : (prctl)((option), __VA_ARGS__))
