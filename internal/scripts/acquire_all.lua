-- acquire all: take several locks, or none of them if somebody has one.
-- KEYS locks
-- ARGV 1 token, 2 TTL in ms, and then for each lock a token that may give way to ours, or none at all
-- Replies {1} when all are taken, else of the first that is held {0, the holder's token, its time left in ms, '0', which it is}.
-- No more of a value is read than a token can have, and one byte: it may be somebody else's, and huge.
if redis.pcall('EXISTS', unpack(KEYS)) ~= 0 then -- or EXISTS is not permitted
  for i, key in ipairs(KEYS) do
    local holder = redis.pcall('GETRANGE', key, '0', '1024')
    if holder == '' or type(holder) == 'table' then -- nothing is there, or GETRANGE is not permitted
      holder = redis.call('GET', key)
    end
    if holder and holder ~= ARGV[1] and holder ~= ARGV[i + 2] then
      return {0, string.sub(holder, 1, 1025), redis.call('PTTL', key), '0', i}
    end
  end
end
for _, key in ipairs(KEYS) do
  redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
end
return {1}
