using System.Runtime.InteropServices;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>The event of work that is already done.</summary>
internal sealed class ReachedEvent : StreamEvent
{
    public static readonly ReachedEvent Instance = new();

    public override bool IsCompleted => true;

    public override void Synchronize()
    {
    }
}

// Events live as long as somebody may wait for them; their safe handles free them when collected.
#pragma warning disable CA1001

/// <summary>A CUDA event. ILGPU has events but lets no stream wait for one, so the driver is called here.</summary>
internal sealed partial class CudaEvent : StreamEvent
{
    private const uint DisableTiming = 2;
    private const int NotReady = 600;
    private readonly Accelerator _accelerator;
    private readonly Handle _handle;

    public CudaEvent(Accelerator accelerator, nint stream)
    {
        _accelerator = accelerator;
        using ScopedAcceleratorBinding bound = accelerator.BindScoped();
        Check(cuEventCreate(out nint created, DisableTiming), nameof(cuEventCreate));
        _handle = new Handle(created);
        Check(cuEventRecord(created, stream), nameof(cuEventRecord));
    }

    public override bool IsCompleted
    {
        get
        {
            using ScopedAcceleratorBinding bound = _accelerator.BindScoped();
            int status = cuEventQuery(_handle.DangerousGetHandle());
            if (status == NotReady) return false;
            Check(status, nameof(cuEventQuery));
            return true;
        }
    }

    public override void Synchronize()
    {
        using ScopedAcceleratorBinding bound = _accelerator.BindScoped();
        Check(cuEventSynchronize(_handle.DangerousGetHandle()), nameof(cuEventSynchronize));
    }

    public void EnqueueWait(nint stream)
    {
        using ScopedAcceleratorBinding bound = _accelerator.BindScoped();
        Check(cuStreamWaitEvent(stream, _handle.DangerousGetHandle(), 0), nameof(cuStreamWaitEvent));
    }

    private static void Check(int status, string call)
    {
        if (status != 0) throw new DeviceException($"{call} failed with CUDA status {status}");
    }

    [LibraryImport("cuda")]
    private static partial int cuEventCreate(out nint streamEvent, uint flags);

    [LibraryImport("cuda")]
    private static partial int cuEventRecord(nint streamEvent, nint stream);

    [LibraryImport("cuda")]
    private static partial int cuEventQuery(nint streamEvent);

    [LibraryImport("cuda")]
    private static partial int cuEventSynchronize(nint streamEvent);

    [LibraryImport("cuda")]
    private static partial int cuStreamWaitEvent(nint stream, nint streamEvent, uint flags);

    [LibraryImport("cuda")]
    private static partial int cuEventDestroy_v2(nint streamEvent);

    private sealed class Handle : SafeHandle
    {
        public Handle(nint value) : base(0, ownsHandle: true) => SetHandle(value);

        public override bool IsInvalid => handle == 0;

        protected override bool ReleaseHandle() => cuEventDestroy_v2(handle) == 0;
    }
}

/// <summary>An OpenCL marker event.</summary>
internal sealed unsafe partial class OpenClEvent : StreamEvent
{
    private const uint EventCommandExecutionStatus = 0x11D3;
    private readonly Handle _handle;

    public OpenClEvent(nint queue)
    {
        nint created;
        Check(clEnqueueMarkerWithWaitList(queue, 0, null, &created), nameof(clEnqueueMarkerWithWaitList));
        _handle = new Handle(created);
        // Another queue may wait for it: the commands before it must have been handed to the device.
        Check(clFlush(queue), nameof(clFlush));
    }

    public override bool IsCompleted
    {
        get
        {
            int status;
            Check(clGetEventInfo(_handle.DangerousGetHandle(), EventCommandExecutionStatus, sizeof(int), &status, null), nameof(clGetEventInfo));
            return status <= 0;
        }
    }

    public override void Synchronize()
    {
        nint handle = _handle.DangerousGetHandle();
        Check(clWaitForEvents(1, &handle), nameof(clWaitForEvents));
    }

    /// <summary>False where the queue belongs to another OpenCL context, which can't wait for this event.</summary>
    public bool EnqueueWait(nint queue)
    {
        nint handle = _handle.DangerousGetHandle();
        return clEnqueueBarrierWithWaitList(queue, 1, &handle, null) == 0;
    }

    private static void Check(int status, string call)
    {
        if (status != 0) throw new DeviceException($"{call} failed with OpenCL status {status}");
    }

    [LibraryImport("OpenCL")]
    private static partial int clEnqueueMarkerWithWaitList(nint queue, uint count, nint* events, nint* created);

    [LibraryImport("OpenCL")]
    private static partial int clEnqueueBarrierWithWaitList(nint queue, uint count, nint* events, nint* created);

    [LibraryImport("OpenCL")]
    private static partial int clFlush(nint queue);

    [LibraryImport("OpenCL")]
    private static partial int clGetEventInfo(nint streamEvent, uint name, nuint byteCount, void* value, nuint* byteCountNeeded);

    [LibraryImport("OpenCL")]
    private static partial int clWaitForEvents(uint count, nint* events);

    [LibraryImport("OpenCL")]
    private static partial int clReleaseEvent(nint streamEvent);

    private sealed class Handle : SafeHandle
    {
        public Handle(nint value) : base(0, ownsHandle: true) => SetHandle(value);

        public override bool IsInvalid => handle == 0;

        protected override bool ReleaseHandle() => clReleaseEvent(handle) == 0;
    }
}
