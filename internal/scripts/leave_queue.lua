-- leave queue: give up a place, and tell the next in the queue.
-- KEYS 1 order, 2 lives, 3 our bell    ARGV 1 our place
-- Replies 1 given up, 0 it was not there any more.
-- The lives come last: where they are spoilt, the place is given up all the same.
local had = redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[3])
redis.call('ZREM', KEYS[2], ARGV[1])
return had
