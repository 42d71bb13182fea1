-- retract: take away what a leader has said, when its lock is given back.
-- KEYS 1 value    ARGV 1 the token of its lock
-- Replies 1 taken away, 0 nothing of its own was there.
-- No more of a value is read than a token can have, and two bytes: it may be somebody else's, and huge.
local said = redis.pcall('GETRANGE', KEYS[1], '0', '1025')
if said == '' or type(said) == 'table' then -- nothing is there, or GETRANGE is not permitted
  said = redis.call('GET', KEYS[1]) or ''
end
if string.sub(said, 1, #ARGV[1] + 1) == ARGV[1] .. ' ' then
  return redis.call('DEL', KEYS[1])
end
return 0
