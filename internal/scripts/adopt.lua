-- adopt: put another token in the place of the one that has the lock, in one step.
-- KEYS 1 lock    ARGV 1 the token that has it, 2 the one that is to have it, 3 TTL in ms
-- Replies 1 done, now or before, 0 nothing there, -1 somebody else's.
-- A life is never shortened: whoever takes this back finds what was there.
-- No more of a value is read than a token can have, and one byte: it may be somebody else's, and huge.
local holder = redis.pcall('GETRANGE', KEYS[1], '0', '1024')
if holder == '' or type(holder) == 'table' then -- nothing is there, or GETRANGE is not permitted
  holder = redis.call('GET', KEYS[1])
end
if holder == ARGV[2] then
  return 1
end
if holder == ARGV[1] then
  local left = math.max(redis.call('PTTL', KEYS[1]), tonumber(ARGV[3]))
  redis.call('SET', KEYS[1], ARGV[2], 'PX', string.format('%.0f', left))
  return 1
end
return holder and -1 or 0
