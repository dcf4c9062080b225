using System.IO.Pipelines;

namespace DistTrain.Ingest;

/// <summary>Reads a stream into a pipe on a thread of its own, as far ahead as the pipe allows.</summary>
internal sealed class PipePump : IDisposable
{
    // The defaults of pipes are made for small messages: 4 KiB and 64 KiB.
    private const int SegmentByteCount = 1 << 20, ReadByteCount = 1 << 18, PauseByteCount = 4 << 20;

    private readonly string _name;
    private readonly Stream _stream;
    private readonly DataCompression _compression;
    private readonly StreamContext _context;
    private readonly Pipe _pipe;
    private readonly Thread _thread;

    internal PipePump(string name, Stream stream, DataCompression compression, StreamContext context)
    {
        _name = name;
        _stream = stream;
        _compression = compression;
        _context = context;
        // Each side goes on on its own thread, whichever completes what it waits for: the pool's threads have no part in it.
        _pipe = new Pipe(new PipeOptions(new SlabMemoryPool(context.Slabs, SegmentByteCount), PipeScheduler.Inline, PipeScheduler.Inline, PauseByteCount, PauseByteCount / 2, SegmentByteCount,
            useSynchronizationContext: false));
        _thread = new Thread(Run) { IsBackground = true, Name = $"{name} reader" };
        _thread.Start();
    }

    internal PipeReader Reader => _pipe.Reader;

    /// <summary>Why the pipe has ended early; null if it has not. A pipe told of it would drop what was read before.</summary>
    internal Exception? Failure { get; private set; }

    /// <summary>Ends reading and waits for it; the reader must have been completed before.</summary>
    /// <exception cref="TimeoutException">A read of the stream does not return although the stream was disposed.</exception>
    public void Dispose()
    {
        // Ends a read that blocks: of sockets and the like.
        _stream.Dispose();
        if (!_thread.Join(_context.Options.StopTimeout))
            throw new TimeoutException($"{_name}: the stream is still being read {_context.Options.StopTimeout.TotalSeconds:0.#} s after it was disposed");
    }

    private void Run()
    {
        using BlockingWait wait = new();
        try
        {
            using Stream content = Decompression.Open(_compression, _stream);
            while (true)
            {
                Span<byte> memory = _pipe.Writer.GetSpan(SlabPool.SmallestByteCount);
                int read = content.Read(memory[..Math.Min(memory.Length, ReadByteCount)]);
                if (read == 0) break;
                _pipe.Writer.Advance(read);
                if (wait.For(_pipe.Writer.FlushAsync(_context.Cancellation), _context.Cancellation).IsCompleted) break;
            }
        }
        catch (Exception e)
        {
            Failure = e;
        }
        _pipe.Writer.Complete();
    }
}
