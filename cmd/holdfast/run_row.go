package main

var runRow = command{
	name:  "run",
	args:  "RESOURCE -- COMMAND [ARG...]",
	short: "run a command while holding a lock",
	rest:  "command",
	make:  newRun,
	long: `Waits for the lock, runs the command, renews the lock while it runs, and gives it
back when it has ended. Standard input, output and error are the command's own.

What the command leaves running in the background goes on without the lock, unless
--wait-group is given: then the lock is kept until nobody is left of its process group.
As PID 1 of a container, holdfast reaps orphans.

TERM, INT, HUP, QUIT, USR1 and USR2 are passed on to the command and all its
children (its process group); TERM, INT and QUIT are followed by CONT, so that a
stopped command can heed them. While there is no command yet, they end the waiting
and leave no lock behind. A job that is stopped with ^Z does not renew: when it
continues, and the lock is gone, the command is killed.

When the lock cannot be renewed, the command gets TERM as long before the lock
may be gone as --grace says, and KILL a tenth of the grace before that moment:
when somebody else can have the lock, it is dead, with its process group. It is
told as early as that is known when servers answer that the lock is not ours.

The command finds in its environment
  HOLDFAST_RESOURCE  what is locked
  HOLDFAST_TOKEN     proves who holds it: treat it as a password
  HOLDFAST_FENCE     the fencing token, a number that is higher for each later
                     holder; empty with --fencing=false
  HOLDFAST_DEADLINE  when the lock would have been gone if it were never renewed,
                     as 2006-01-02T15:04:05.678Z; it is renewed, so this is the
                     least, not the end
and not HOLDFAST_REDIS and HOLDFAST_REDIS_FILE, unless --pass-redis is given.

--audit writes down when the lock was granted, given back or lost, and by whom it was
held: see ` + "`holdfast help audit`" + `.

With --at-least the lock stays for that long after it was acquired, also when the
command ends before, however it ends: no process waits for that, it goes by its TTL. A
command that ends shortly before may leave the lock for up to --ttl longer.

Servers that were all started less than --max-ttl ago may have forgotten who holds
what. Until they are older nobody gets a lock, and a line on standard error says so.
The first time that servers are used, --first-deployment does not wait.

If holdfast itself is killed (KILL), the lock goes by its TTL, and on Linux the
command gets TERM.

Exit codes: the command's own, 128 and the signal's number if one has ended it;
75 or what -E says when the lock was not to be had; 69 when too few servers
answer; 78 when they refuse, and waiting does not mend it; 70 when the lock was lost
while the command ran, or --max-hold is over; 64 for a wrong command line; 126 and 127
when the command cannot be executed or found.`,
}
