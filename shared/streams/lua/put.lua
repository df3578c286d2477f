-- Set a payload though Redis is full, ahead of the hand-off that frees its input. What that can cost
-- is bounded by the mark of the stream that the payload is for.
-- KEYS  bytes, the stream, the payload.   ARGV  marks of the stream (entries, bytes), the content,
--       seconds until it expires unless it is handed off.
-- Returns 1 done, -1 the stream is full, -3 its key holds something else than a stream.
local bytes_key = key()
local mark = read_mark(bytes_key)
local payload, content, seconds = key(), arg(), arg()

if mark.problem ~= 0 then return mark.problem end
if is_full(mark) then return -1 end
write_also_when_full(bytes_key)
redis.call('SET', payload, content, 'EX', seconds, 'NX')
return 1
