namespace DistTrain.Kernels;

/// <summary>What executes a device's kernels.</summary>
public enum DeviceKind
{
    /// <summary>Host cores, SIMD kernels.</summary>
    Cpu,

    /// <summary>An NVIDIA GPU through ILGPU's PTX backend.</summary>
    Cuda,

    /// <summary>A device through ILGPU's OpenCL backend.</summary>
    OpenCl,

    /// <summary>ILGPU's CPU accelerator: a functional emulator of the GPU kernels, for tests only.</summary>
    Emulator,
}
