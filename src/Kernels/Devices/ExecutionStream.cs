namespace DistTrain.Kernels;

/// <summary>
/// A queue of work on one device. Operations enqueue and return; work of one stream runs in the order it was enqueued; order between
/// streams comes from events. A CPU stream runs each operation at once, in the calling thread and its device's thread team.
/// </summary>
public abstract class ExecutionStream : IDisposable
{
    private protected ExecutionStream(ComputeDevice device) => Device = device;

    /// <summary>The device that runs the work.</summary>
    public ComputeDevice Device { get; }

    /// <summary>The native stream: <c>CUstream</c> on CUDA, <c>cl_command_queue</c> on OpenCL, 0 elsewhere.</summary>
    public virtual nint NativeHandle => 0;

    /// <summary>Blocks until all work enqueued so far is done.</summary>
    public abstract void Synchronize();

    /// <summary>Marks this point of the stream.</summary>
    public abstract StreamEvent Record();

    /// <summary>Makes work enqueued from now on wait for the event, without blocking the host where the device allows it.</summary>
    public abstract void Wait(StreamEvent streamEvent);

    /// <summary>True after <see cref="Dispose"/>: all its work is done, and none can be added.</summary>
    public bool IsDisposed { get; private set; }

    /// <summary>Waits for the stream's work and ends it; the memory that the pool kept for it goes to the default stream. Safe to call twice. A device's default stream stays.</summary>
    public void Dispose()
    {
        GC.SuppressFinalize(this);
        if (IsDisposed || this == Device.DefaultStream) return;
        Close();
        IsDisposed = true;
        Device.Pool.MoveToDefaultStream(this);
    }

    /// <summary>Waits for the work and frees the native stream.</summary>
    private protected abstract void Close();
}

/// <summary>A point in a stream's work, reached when all work before it is done.</summary>
public abstract class StreamEvent
{
    /// <summary>True once the point is reached. Does not block.</summary>
    public abstract bool IsCompleted { get; }

    /// <summary>Blocks until the point is reached.</summary>
    public abstract void Synchronize();
}
