-- release with a fencing token: delete the lock if it is ours, then raise the
-- fence to ours: the tombstone that refuses an acquire of ours still on its way.
-- KEYS 1 lock, 2 fence    ARGV 1 token, 2 our fence, 3 the fence's TTL in ms
-- Replies 1 deleted, 0 nothing there, -1 somebody else's.
-- The delete goes first: without memory to spare only that is sure to pass.
local holder = redis.call('GET', KEYS[1])
local answer = holder and -1 or 0
if holder == ARGV[1] then
  answer = redis.call('DEL', KEYS[1])
end
local fence = redis.call('GET', KEYS[2])
if not fence or tonumber(fence) < tonumber(ARGV[2]) then
  redis.pcall('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
end
return answer
