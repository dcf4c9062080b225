using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;
using ILGPU.Runtime.OpenCL;

namespace DistTrain.Kernels;

/// <summary>An in-order queue of an ILGPU accelerator.</summary>
internal sealed class GpuStream(GpuDevice device, AcceleratorStream native, bool ownsStream) : ExecutionStream(device)
{
    public AcceleratorStream Native { get; } = native;

    public override nint NativeHandle => Native switch
    {
        CudaStream cuda => cuda.StreamPtr,
        CLStream openCl => openCl.CommandQueue,
        _ => 0,
    };

    public override void Synchronize() => Native.Synchronize();

    public override StreamEvent Record()
    {
        switch (Device.Kind)
        {
            case DeviceKind.Cuda: return new CudaEvent(((GpuDevice)Device).Accelerator, NativeHandle);
            case DeviceKind.OpenCl: return new OpenClEvent(NativeHandle);
            default:
                // The emulator has no events: reach the point now.
                Synchronize();
                return ReachedEvent.Instance;
        }
    }

    public override void Wait(StreamEvent streamEvent)
    {
        ArgumentNullException.ThrowIfNull(streamEvent);
        if (Device.Kind == DeviceKind.Cuda && streamEvent is CudaEvent cuda) cuda.EnqueueWait(NativeHandle);
        else if (Device.Kind == DeviceKind.OpenCl && streamEvent is OpenClEvent openCl && openCl.EnqueueWait(NativeHandle)) return;
        else streamEvent.Synchronize();
    }

    private protected override void Close()
    {
        if (!ownsStream || Native.IsDisposed) return;
        Synchronize();
        Native.Dispose();
    }
}
