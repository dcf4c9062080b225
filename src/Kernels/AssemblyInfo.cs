using System.Runtime.CompilerServices;

[assembly: InternalsVisibleTo("Kernels.Tests")]
[assembly: InternalsVisibleTo("DistTrain.Bench")]
// The assembly that ILGPU emits its emulator's launchers into: kernel parameters of our own types must be visible to it.
[assembly: InternalsVisibleTo("ILGPURuntime")]
[assembly: DisableRuntimeMarshalling]
